"""State of a target: its rollout, the judge's state, the history, and the windows that are parked."""

import base64
from functools import lru_cache
from typing import Any

import cramjam
import msgspec

from penstock.chain import Document
from penstock.events import WindowClosed, from_json
from penstock.plan import Plan, load_plan
from penstock.rollout import RolloutState

_LEVEL = 3


class TargetState(msgspec.Struct, frozen=True, omit_defaults=True):
    """A target.

    Attributes:
        plan: exact text of the plan in force (the rollout's, or the newest registered one).
        rollout: the present or last rollout.
        judge: the judge's state, packed; empty outside a live rollout.
        history: what A/A windows taught, packed.
        seen: windows of the present stage, warm-up included; missing: consecutive ones without some gate's data;
            good: consecutive ones with all of it.
        owed: tenths of a window left out, and not earned back, for want of sources or for counters that restarted.
        canary_seen: whether this rollout has measured its canary; canary_gone: consecutive windows since in which no
            instance of it was alive.
        waits: id of the final verdict that rollout control has not answered yet; parked: windows since, in order.
        unmeasured: which gates the last verdict found unmeasured and why, empty for none.
        last: end of the last window that an earlier version received; not used.
    """

    plan: str = ""
    rollout: RolloutState | None = None
    judge: str = ""
    history: str = ""
    seen: int = 0
    missing: int = 0
    good: int = 0
    owed: int = 0
    canary_seen: bool = False
    canary_gone: int = 0
    waits: str = ""
    parked: tuple[Document, ...] = ()
    unmeasured: str = ""
    last: str = ""

    def windows(self) -> tuple[WindowClosed, ...]:
        """The parked windows."""
        return tuple(event for event in map(from_json, self.parked) if isinstance(event, WindowClosed))


def load(document: Document) -> TargetState:
    """Return the state of a document."""
    return msgspec.convert(document, TargetState)


def dump(state: TargetState) -> Document:
    """Return the document of a state."""
    document: Document = msgspec.to_builtins(state)
    return document


def pack(document: Any) -> str:
    """Return JSON values as compressed text: an opaque number store, replaced whole by every record."""
    raw = bytes(cramjam.zstd.compress(msgspec.json.encode(document), _LEVEL))
    return base64.b64encode(raw).decode()


def unpack(text: str) -> Any:
    """Return what `pack` was given; None for the empty text."""
    return msgspec.json.decode(bytes(cramjam.zstd.decompress(base64.b64decode(text)))) if text else None


@lru_cache(maxsize=256)
def plan_of(text: str) -> Plan:
    """Return the plan of a text that was checked when it was registered."""
    return load_plan(text)
