"""The read model of one rollout: all that its pages show, from events alone, in any order of topics."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from penstock.errors import PlanError
from penstock.events import (
    ExposureChanged,
    ExposureContained,
    FlagServed,
    GateVerdict,
    Ground,
    RecoveryVerified,
    RollbackEscalated,
    RollbackStarted,
    RolloutAnnounced,
    RolloutEvent,
    StageApproved,
    StageEntered,
    StageJudged,
    StepCompleted,
    StepFailed,
    StepStarted,
    Word,
)
from penstock.plan import Plan, load_plan
from penstock.rollout import IllegalTransitionError, RolloutState, evolve
from services.console.read_models.entries import Entry
from services.console.wording.differences import Difference, difference_of

MOST_ENTRIES = 4000
MOST_POINTS = 720


class GatePoint(NamedTuple):
    """One gate after one window, as the chart draws it."""

    difference: Difference
    word: Word


class Point(NamedTuple):
    """One verdict, thinned."""

    at: datetime
    stage: str
    judged: int
    gates: dict[str, GatePoint]


class Book:
    """What the events report of one rollout.

    Attributes:
        state: None until it is announced, for verdicts may arrive before.
        entries: its events but for verdicts that changed nothing.
        verdicts: the last verdict of each stage entry, by the entry's id.
        points: thinned verdicts in the order of their windows.
        entered: each stage entry; approvals: by the name of the stage.
        steps: how far each step of the rollback is: name -> (running, done or failed; words).
        step_ends: when each step of the rollback ended, done or failed.
        contained_by: when containment was reached or a person was paged for it: recovery is watched from then on.
        damage: why its events can no longer be followed; the state stays where it was.
    """

    def __init__(self, rollout: str) -> None:
        self.id = rollout
        self.state: RolloutState | None = None
        self.announced: RolloutAnnounced | None = None
        self.plan: Plan | None = None
        self.ground: Ground | None = None
        self.entries: list[Entry] = []
        self.verdicts: dict[str, StageJudged] = {}
        self.points: list[Point] = []
        self.entered: list[StageEntered] = []
        self.approvals: dict[str, list[StageApproved]] = {}
        self.changed: ExposureChanged | None = None
        self.served: dict[str, FlagServed] = {}
        self.started: RollbackStarted | None = None
        self.contained: ExposureContained | None = None
        self.recovered: RecoveryVerified | None = None
        self.escalations: list[RollbackEscalated] = []
        self.steps: dict[str, tuple[str, str]] = {}
        self.step_ends: dict[int, datetime] = {}
        self.contained_by: datetime | None = None
        self.damage: str | None = None

    def fold(self, entry: Entry) -> None:
        """Fold one event of this rollout."""
        event = entry.event
        if isinstance(event, StageJudged):
            self._judged(entry, event)
            return
        if len(self.entries) < MOST_ENTRIES:
            self.entries.append(entry)
        match event:
            case RolloutEvent():
                self._moved(event)
            case ExposureChanged():
                self.changed = event
            case FlagServed():
                self.served[event.instance] = event
            case ExposureContained():
                self.contained = event
                self.contained_by = self.contained_by or event.time
            case RecoveryVerified():
                self.recovered = event
            case RollbackEscalated():
                self.escalations.append(event)
                if event.what == "containment":
                    self.contained_by = self.contained_by or event.time
            case StepStarted():
                self.steps[event.step] = ("running", event.kind)
            case StepCompleted():
                self.steps[event.step] = ("done", "")
                self.step_ends[event.index] = event.time
            case StepFailed():
                self.steps[event.step] = ("failed", event.reason)
                if event.final:
                    self.step_ends[event.index] = event.time
            case _:
                pass

    @property
    def verdict(self) -> StageJudged | None:
        """The last verdict on the present stage."""
        return self.verdicts.get(self.state.entry) if self.state is not None and self.state.entry else None

    @property
    def gates(self) -> tuple[GateVerdict, ...]:
        """The gates that matter now: those that ended it, else those of the present stage."""
        if self.started is not None and self.started.ground.gates:
            return self.started.ground.gates
        verdict = self.verdict
        if verdict is not None:
            return verdict.gates
        return self.ground.gates if self.ground is not None else ()

    @property
    def ended_at(self) -> datetime | None:
        """When users stopped being measured on it; None while it goes on."""
        if self.started is not None:
            return self.started.time
        return datetime.fromisoformat(self.state.updated_at) if self.state is not None and not self.state.live else None

    def points_of(self, gate: str) -> Sequence[tuple[Point, GatePoint]]:
        """Return the points of one gate."""
        return [(point, point.gates[gate]) for point in self.points if gate in point.gates]

    def _moved(self, event: RolloutEvent) -> None:
        if self.damage is not None:
            return
        try:
            self.state = evolve(self.state, event)
        except IllegalTransitionError as error:
            # One unreadable history must not take the pages of all others with it.
            self.damage = str(error)
            return
        self.ground = event.ground
        if isinstance(event, RolloutAnnounced):
            self.announced = event
            try:
                self.plan = load_plan(event.plan_text)
            except PlanError as error:
                self.damage = str(error)
        elif isinstance(event, StageEntered):
            self.entered.append(event)
        elif isinstance(event, StageApproved):
            self.approvals.setdefault(event.stage, []).append(event)
        elif isinstance(event, RollbackStarted):
            self.started = event

    def _judged(self, entry: Entry, event: StageJudged) -> None:
        before = self.verdicts.get(event.entry)
        self.verdicts[event.entry] = event
        news = before is None or event.final or before.word is not event.word
        if news and len(self.entries) < MOST_ENTRIES:
            self.entries.append(entry)
        gates = {gate.gate: _point(gate) for gate in event.gates}
        self.points.append(Point(event.window_end, event.stage, event.judged, gates))
        if len(self.points) > MOST_POINTS:
            # Old points lose every second one; the newest minutes stay whole.
            half = MOST_POINTS // 2
            self.points = self.points[:half:2] + self.points[half:]


def _point(gate: GateVerdict) -> GatePoint:
    return GatePoint(difference_of(gate), gate.word)
