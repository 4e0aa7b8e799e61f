"""Histories for rollback execution: inputs with defaults, and a target that hears them and keeps what was said."""

import dataclasses
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from penstock.chain import Decision, Document
from penstock.events import (
    Cohort,
    Event,
    ExplicitHistogram,
    ExposureChanged,
    FlagServed,
    Measure,
    Ratio,
    RollbackStarted,
    RolloutAnnounced,
    Saw,
    StepObserved,
    TimerFired,
    WindowClosed,
)
from penstock.plan import hash_of
from services.rollback_execution.decide import decide
from services.rollback_execution.errands import errand_of, report
from services.rollback_execution.state import State, load
from tests.support.builders import an
from tests.support.metrics.windows import moment
from tests.support.plans import SHORT, TARGET

ROLLOUT = "ro-000000000001"
STARTED = "rollback-started-1"
HOOK = """\
  steps:
    - {kind: flag, name: flag, deadline: 10s}
    - {kind: webhook, name: tell-ci, url: "https://ci.example/redeploy", secret: ci, deadline: 30s}
  escalate_to: [payments-on-call]
"""
WITH_HOOK = SHORT.replace("rollback:\n", "rollback:\n" + HOOK)


@dataclasses.dataclass
class Story:
    """One target of one decider."""

    document: Document = dataclasses.field(default_factory=dict)
    said: list[Event] = dataclasses.field(default_factory=list)

    def hears(self, *events: Event) -> list[Event]:
        """Hear inputs in order; return the facts that follow."""
        facts: list[Event] = []
        for event in events:
            decision: Decision = decide(TARGET, self.document, event)
            self.document = decision.document
            facts.extend(decision.events)
        self.said += facts
        return facts

    def claims(self, second: float, executor: str = "rollback-0") -> list[Event]:
        """A copy takes the present step up."""
        return self.sees(Saw.CLAIMED, second, executor)

    def sees(self, saw: Saw, second: float, executor: str = "rollback-0", **more: Any) -> list[Event]:
        """A copy reports something of the present step."""
        return self.hears(self.seen(saw, second, executor, **more))

    def seen(self, saw: Saw, second: float, executor: str = "rollback-0", **more: Any) -> StepObserved:
        """Return a copy's report of the present step."""
        running = self.state.running
        assert running is not None
        return report(TARGET, running, executor, moment(second), saw, **more)

    def fires(self, timer: str) -> list[Event]:
        """The armed timer of that name comes due."""
        return self.hears(self.due(timer))

    def due(self, timer: str) -> TimerFired:
        """Return the armed timer, come due."""
        return timer_fired(timer, self.state.timers[timer])

    @property
    def state(self) -> State:
        """The state."""
        return load(self.document)

    @property
    def errand(self) -> str | None:
        """What the first copy has to do now."""
        errand = errand_of(self.state, "rollback-0")
        return errand.what if errand else None


def types(events: Sequence[Event]) -> list[str]:
    """Return the types, in order."""
    return [event.type for event in events]


def timer_fired(timer: str, due: datetime) -> TimerFired:
    """Return a timer come due."""
    return an(TimerFired, target=TARGET, timer=timer, due=due, time=due, id=f"timer-{timer}-{due.isoformat()}")


def announced(plan: str = SHORT) -> RolloutAnnounced:
    """Return the announcement of the rollout."""
    return an(RolloutAnnounced, target=TARGET, rollout=ROLLOUT, plan_text=plan, plan_hash=hash_of(plan))


def started(second: float = 0.0, rollback: str = STARTED, rollout: str = ROLLOUT) -> RollbackStarted:
    """Return the decision to roll back."""
    return an(RollbackStarted, id=rollback, target=TARGET, rollout=rollout, time=moment(second), version="2")


def zeroed(second: float = 0.0, entry: str = STARTED, version: int = 4) -> ExposureChanged:
    """Return flag control's word that the exposure is zero."""
    return an(
        ExposureChanged,
        id=f"exposure-{entry}-{version}",
        target=TARGET,
        entry=entry,
        exposure=0.0,
        version=version,
        time=moment(second),
    )


def served(
    instance: str = "flags-0",
    version: int = 4,
    streams: int = 24,
    got: int | None = None,
    second: float = 0.1,
    elapsed_ms: float | None = None,
) -> FlagServed:
    """Return an instance's report; `got` of its streams (all by default) were sent the version."""
    return an(
        FlagServed,
        id=f"served-{instance}-{version}-{got}",
        target=TARGET,
        instance=instance,
        version=version,
        streams=streams,
        served=streams if got is None else got,
        elapsed_ms=elapsed_ms,
        time=moment(second),
    )


def latency(slow: float = 0.0, count: int = 100) -> ExplicitHistogram:
    """Return a histogram of `count` requests, a share of which is slow."""
    late = round(count * slow)
    return ExplicitHistogram(
        count=count,
        sum=count * 0.05,
        bounds=(0.05, 0.1, 1.0, 5.0),
        counts=(0, count - late, 0, late, 0),
    )


def closed(
    second: float,
    *,
    canary: int = 0,
    errors: float = 0.0,
    total: float = 100.0,
    slow: float = 0.0,
    without: Sequence[str] = (),
) -> WindowClosed:
    """Return the window of one second that begins at `second`; without a canary unless it has requests."""
    measures: dict[str, Measure] = {
        "errors": Ratio(events=errors, total=total),
        "p99": latency(slow, round(total)),
    }
    cohorts: dict[Cohort, dict[str, Measure]] = {
        Cohort.BASELINE: {name: measure for name, measure in measures.items() if name not in without}
    }
    if canary:
        cohorts[Cohort.CANARY] = {"errors": Ratio(events=0.0, total=float(canary))}
    return WindowClosed(
        id=f"window-{second:g}",
        source="/penstock/metric_ingestion",
        target=TARGET,
        time=moment(second + 1),
        start=moment(second),
        end=moment(second + 1),
        seconds=1.0,
        measures=cohorts,
    )


def before(plan: str = SHORT) -> list[Event]:
    """Return what a target heard before its rollback: quiet windows, the announcement, one report of flag control."""
    quiet = [closed(number - 60.0) for number in range(12)]
    return [*quiet, announced(plan), zeroed(-20, "stage-entered-1", 3), served(version=3, second=-19)]
