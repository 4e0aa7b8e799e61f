"""The state of a target in rollback execution."""

from datetime import datetime
from enum import StrEnum

import msgspec

from penstock.chain import Document


class Reading(msgspec.Struct, frozen=True, omit_defaults=True):
    """One measure of one window, small enough to keep.

    Attributes:
        n: requests (ratio, histogram), instances (gauge), or 1 (count).
        bad: bad events, of a ratio; mean: of a histogram or gauge, or occurrences per exposure.
        levels: quantiles of a histogram at `readings.LEVELS`.
    """

    n: float
    bad: float = 0.0
    mean: float = 0.0
    levels: tuple[float, ...] = ()


class Reference(msgspec.Struct, frozen=True, omit_defaults=True):
    """A window of the service without the release: its end, and its readings by gate."""

    end: datetime
    readings: dict[str, Reading]


class Yardstick(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a gate's measure is compared with the windows before the rollout.

    Attributes:
        by: `ratio`, `level` (a quantile) or `mean`; level: index into `readings.LEVELS`.
        relative, absolute: how much worse still counts as well.
        up, down: which way is worse.
    """

    by: str
    level: int = 0
    relative: float = 0.0
    absolute: float = 0.0
    up: bool = True
    down: bool = False


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """A step as the plan has it; `secret` is the name of one, never the secret."""

    kind: str
    name: str
    deadline: float
    url: str = ""
    secret: str = ""


class RollbackPlan(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a rollback needs of the plan; durations in seconds."""

    plan: str
    steps: tuple[Step, ...]
    containment: float
    recovery_windows: int
    recovery_deadline: float
    escalate_to: tuple[str, ...] = ()
    yardsticks: dict[str, Yardstick] = {}


class Applied(msgspec.Struct, frozen=True, omit_defaults=True):
    """The last change of the flag: the decision that asked for it, its exposure and version, its event and time."""

    entry: str
    exposure: float
    version: int
    event: str
    time: datetime


class Served(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one flag control instance reported last: the event, its time, and seconds since the decision if it said.

    `closed` counts streams that it closed because their clients read nothing.
    """

    version: int
    streams: int
    served: int
    event: str
    time: datetime
    seconds: float = -1.0
    closed: int = 0


class StepPhase(StrEnum):
    """Where the present step stands."""

    OPEN = "open"
    RUNNING = "running"
    WAITING = "waiting"
    LAPSED = "lapsed"


class StepState(msgspec.Struct, frozen=True, omit_defaults=True):
    """The present step.

    Attributes:
        phase: open until a copy claims it; running while an attempt is out; waiting for the next attempt; lapsed when
            its executor did not answer within the lease and any copy may claim it.
        attempt: counts from 1; executor: the copy that runs it; event: id of its newest event.
    """

    phase: StepPhase = StepPhase.OPEN
    attempt: int = 0
    executor: str = ""
    deadline: datetime | None = None
    event: str = ""


class Running(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A rollback under way.

    Attributes:
        id: of the event that started it; began: its time; at: the time of its latest input.
        index: of the present step, len(steps) when all are over; before: id of the event that the next step follows.
        contained: seconds, once every client is safe; overdue: containment's deadline has passed.
        watching: recovery is being watched; streak: ids of the good windows in a row; doubt: why the last was not good.
        exposed: whether anybody had the release; without users there is no recovery to watch.
    """

    id: str
    rollout: str
    version: str
    began: datetime
    at: datetime
    needs: RollbackPlan
    before: str
    index: int = 0
    doing: StepState = StepState()
    contained: float = -1.0
    overdue: bool = False
    watching: bool = False
    streak: tuple[str, ...] = ()
    doubt: str = ""
    exposed: bool = True

    @property
    def step(self) -> Step | None:
        """The present step, None when all are over."""
        return self.needs.steps[self.index] if self.index < len(self.needs.steps) else None

    @property
    def safe(self) -> bool:
        """Whether containment has been seen."""
        return self.contained >= 0


class State(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A target.

    Attributes:
        rollout: id of the last announced rollout; live: it may have users now; needs: its plan's.
        references: windows of the service without a release, by slot.
        flag: last change; served: last report by flag control instance of this rollout.
        executed: id of the event that started the last executed rollback.
        timers: due times by name.
    """

    rollout: str = ""
    live: bool = False
    needs: RollbackPlan | None = None
    references: dict[str, Reference] = {}
    flag: Applied | None = None
    served: dict[str, Served] = {}
    running: Running | None = None
    executed: str = ""
    timers: dict[str, datetime] = {}


def load(document: Document) -> State:
    """Return the state of a document."""
    return msgspec.convert(document, State)


def dump(state: State) -> Document:
    """Return the document of a state."""
    document: Document = msgspec.to_builtins(state)
    return document
