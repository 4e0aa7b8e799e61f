"""The judge of a rollout, kept warm between windows: rebuilding it from its packed state gives the same one, slower."""

from collections import OrderedDict

from services.gate_evaluation.judge import History, Judge, JudgeSpec
from services.gate_evaluation.state import pack, unpack

_MOST_WARM = 256

_warm: OrderedDict[str, Judge] = OrderedDict()


def start(spec: JudgeSpec, history: str) -> Judge:
    """Return a judge that has seen no window of its rollout, with what the packed history taught."""
    return Judge.start(spec, History.from_doc(spec.gates, unpack(history)))


def take(spec: JudgeSpec, packed: str) -> Judge:
    """Return the judge of a packed state. It is the caller's alone: what it observes changes it."""
    judge = _warm.pop(packed, None)
    return judge if judge is not None else Judge.from_doc(spec, unpack(packed))


def keep(judge: Judge) -> str:
    """Return the judge's packed state, and keep the judge warm under it."""
    packed = pack(judge.to_doc())
    _warm[packed] = judge
    while len(_warm) > _MOST_WARM:
        _warm.popitem(last=False)
    return packed


def history_of(packed: str) -> str:
    """Return the packed history inside a judge's packed state."""
    return pack(unpack(packed)["history"])
