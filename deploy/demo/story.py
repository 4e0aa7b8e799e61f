"""One rollout of the demo, from its events alone: every figure that is printed comes from here."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from penstock.events import (
    Cohort,
    Count,
    DeliverySucceeded,
    Event,
    ExposureChanged,
    ExposureContained,
    FlagServed,
    Ratio,
    RecoveryVerified,
    RollbackStarted,
    RolloutEvent,
    StageEntered,
    StageJudged,
    StepCompleted,
    WindowClosed,
    Word,
)
from penstock.rollout import Phase, RolloutState, evolve

from .distribution import Distribution, of_windows
from .features import Feature

LATENCY = "p99"
ERRORS = "errors"
USERS = "users"

E = TypeVar("E", bound=Event)


@dataclass
class Story:
    """One feature's target, event by event, in the order in which they were recorded.

    Attributes:
        rollout: folded from the rollout's events, as every reader may.
        received: all events but windows and verdicts; windows, verdicts: those.
    """

    feature: Feature
    rollout: RolloutState | None = None
    received: list[Event] = field(default_factory=list)
    windows: list[WindowClosed] = field(default_factory=list)
    verdicts: list[StageJudged] = field(default_factory=list)

    def fold(self, event: Event) -> None:
        """Add the next event of the target."""
        match event:
            case WindowClosed():
                self.windows.append(event)
            case StageJudged():
                self.verdicts.append(event)
            case RolloutEvent():
                self.rollout = evolve(self.rollout, event)
                self.received.append(event)
            case _:
                self.received.append(event)

    def all(self, kind: type[E]) -> list[E]:
        """Return the events of a class."""
        return [event for event in self.received if isinstance(event, kind)]

    def first(self, kind: type[E]) -> E | None:
        """Return the first event of a class."""
        return next(iter(self.all(kind)), None)

    @property
    def phase(self) -> Phase | None:
        """Where the rollout is; None before it."""
        return self.rollout.phase if self.rollout is not None else None

    @property
    def baseline(self) -> int:
        """Windows that measured both halves of the baseline."""
        return sum(window.halves is not None for window in self.windows)

    @property
    def exposed(self) -> list[WindowClosed]:
        """The windows from the first stage's entry on."""
        entered = self.first(StageEntered)
        return [] if entered is None else [window for window in self.windows if window.start >= entered.time]

    @property
    def judged(self) -> list[WindowClosed]:
        """The windows from the first stage's entry up to the one that tipped the last verdict."""
        last = self.verdicts[-1].window_end if self.verdicts else None
        return [window for window in self.exposed if last is not None and window.end <= last]

    @property
    def breach(self) -> StageJudged | None:
        """The verdict that a gate breached, if there was one."""
        return next((verdict for verdict in self.verdicts if verdict.word is Word.BREACH), None)

    def latency(self, cohort: Cohort, windows: Iterable[WindowClosed] | None = None) -> Distribution | None:
        """Return how long a cohort's requests took; by default over all windows that were judged."""
        return of_windows(self.judged if windows is None else windows, cohort, LATENCY)

    @property
    def requests(self) -> int:
        """Requests that the candidate served."""
        measures = (window.measures.get(Cohort.CANARY, {}).get(ERRORS) for window in self.windows)
        return round(sum(measure.total for measure in measures if isinstance(measure, Ratio)))

    @property
    def users(self) -> int:
        """Users who got the candidate at least once."""
        measures = (window.measures.get(Cohort.CANARY, {}).get(USERS) for window in self.windows)
        return round(sum(measure.value for measure in measures if isinstance(measure, Count)))


@dataclass(frozen=True)
class Rollback:
    """How a bad release was found and rolled back; times are those that the events carry.

    Attributes:
        windows: judged until the breach; samples: the candidate's requests in them.
        first_bad: arrival of the first window that holds a request at least five times the baseline's median.
        breached: end of the window that tipped the verdict; detect: seconds between the two.
        contained: seconds from the decision until every flag client had been sent the safe version.
        mean, median, p99: candidate over baseline, relative (0.2 is +20 %); slow: share of slow requests.
        factor: how many times the baseline's median a slow request took at least.
    """

    windows: int
    samples: int
    first_bad: datetime
    breached: datetime
    detect: float
    contained: float | None
    mean: float
    median: float
    p99: float
    slow: float
    factor: float
    blamed: tuple[str, ...]


FACTOR = 5.0


def rollback_of(story: Story) -> Rollback | None:
    """Return the account of a rollback by a gate; None while there is none, or its evidence is incomplete."""
    breach = story.breach
    if breach is None or story.first(RollbackStarted) is None:
        return None
    windows = [window for window in story.exposed if window.end <= breach.window_end]
    canary, baseline = (of_windows(windows, cohort, LATENCY) for cohort in (Cohort.CANARY, Cohort.BASELINE))
    if canary is None or baseline is None:
        return None
    limit = FACTOR * baseline.quantile(0.5)
    first = next((window for window in windows if _slow_in(window, limit) and window.first_sample_at), None)
    if first is None or first.first_sample_at is None:
        return None
    contained = story.first(ExposureContained)
    return Rollback(
        windows=len(windows),
        samples=canary.count,
        first_bad=first.first_sample_at,
        breached=breach.window_end,
        detect=(breach.window_end - first.first_sample_at).total_seconds(),
        contained=contained.seconds if contained is not None else None,
        mean=canary.mean / baseline.mean - 1.0,
        median=canary.quantile(0.5) / baseline.quantile(0.5) - 1.0,
        p99=canary.quantile(0.99) / baseline.quantile(0.99) - 1.0,
        slow=canary.above(limit) / canary.count,
        factor=FACTOR,
        blamed=breach.blamed,
    )


def _slow_in(window: WindowClosed, limit: float) -> bool:
    found = of_windows((window,), Cohort.CANARY, LATENCY)
    return found is not None and found.above(limit) > 0


def served_safe_ms(story: Story) -> float | None:
    """Return the milliseconds from the decision until flag control had sent the safe version; None if it was not."""
    safe = next((change.version for change in story.all(ExposureChanged) if change.exposure == 0), None)
    served = [event.elapsed_ms for event in story.all(FlagServed) if safe is not None and event.version >= safe]
    return next((elapsed for elapsed in served if elapsed is not None), None)


def webhook_step_done(story: Story) -> bool:
    """Whether the plan's signed webhook was answered."""
    return any(step.step == "tell-ci" for step in story.all(StepCompleted))


def deliveries(story: Story) -> int:
    """Return the deliveries that subscribers accepted."""
    return len(story.all(DeliverySucceeded))


def recovered(story: Story) -> bool:
    """Whether the service was seen to measure as before."""
    return story.first(RecoveryVerified) is not None
