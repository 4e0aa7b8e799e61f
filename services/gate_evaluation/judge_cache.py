"""Judges between windows: rebuilt from their packed state, or kept in memory by a running service, which is faster."""

from collections import OrderedDict
from typing import Protocol

from services.gate_evaluation.judge import History, Judge, JudgeSpec
from services.gate_evaluation.judge.versions import CURRENT, Parameters
from services.gate_evaluation.state import pack, unpack

_CAPACITY = 256
"""Live rollouts whose judges a process keeps in memory; beyond them the one used longest ago is rebuilt (30 ms)."""


class Judges(Protocol):
    """Where a decision gets a judge from, and leaves it. What is restored equals what was saved, bit for bit."""

    def restore(self, spec: JudgeSpec, packed: str) -> Judge: ...
    def save(self, judge: Judge) -> str: ...


class PackedJudges:
    """Rebuilds every judge from its packed state: pure, for replay and tests."""

    def restore(self, spec: JudgeSpec, packed: str) -> Judge:
        """Return the judge of a packed state."""
        return Judge.from_doc(spec, unpack(packed))

    def save(self, judge: Judge) -> str:
        """Return the judge's packed state."""
        return pack(judge.to_doc())


class JudgeCache:
    """The judges of the newest packed states, least recently used first; owned by the running service."""

    def __init__(self) -> None:
        self._judges: OrderedDict[str, Judge] = OrderedDict()
        self._packed = PackedJudges()

    def restore(self, spec: JudgeSpec, packed: str) -> Judge:
        """Return the judge of a packed state and forget it: what it observes changes it, so it has one user."""
        judge = self._judges.pop(packed, None)
        return judge if judge is not None else self._packed.restore(spec, packed)

    def save(self, judge: Judge) -> str:
        """Return the judge's packed state, and keep the judge under it."""
        packed = self._packed.save(judge)
        self._judges[packed] = judge
        while len(self._judges) > _CAPACITY:
            self._judges.popitem(last=False)
        return packed


def start(spec: JudgeSpec, history: str, parameters: Parameters = CURRENT) -> Judge:
    """Return a judge that has seen no window of its rollout, starting from a packed history."""
    return Judge.start(spec, History.from_doc(spec.gates, unpack(history)), parameters=parameters)


def version_of(packed: str) -> str:
    """Return the version of the judge that wrote a packed state."""
    version: str = unpack(packed)["version"]
    return version


def history_of(packed: str) -> str:
    """Return the packed history inside a judge's packed state."""
    return pack(unpack(packed)["history"])
