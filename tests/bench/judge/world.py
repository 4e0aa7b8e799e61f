"""What a simulated world, a change and a scenario are."""

from dataclasses import dataclass, field
from enum import StrEnum

from tests.bench.judge.noise import Family
from tests.bench.judge.tails import Slow, limit


class Expect(StrEnum):
    """What a fair judge owes to a scenario."""

    NO_CHANGE = "no change"  # rolling back is a false alarm
    EDGE = "at tolerance"  # as bad as tolerated: rolling back is a false alarm, too
    REGRESSION = "regression"  # finding it soon is the point
    BEYOND = "beyond pass margin"  # must not be passed


@dataclass(frozen=True, slots=True)
class World:
    """Traffic and noise, the same for all cohorts; rates a window of 60 s.

    Attributes:
        rps: requests a second of the whole service; split: canary share.
        errors: baseline error rate.
        slow: the slow requests (heavier tails are harder).
        wander: (sd, parameter) of each cohort's own log rate of errors and slow requests, by `family`: of AR the
            correlation a window.
        burst: (chance a window, factor, mean length) of each cohort's own error bursts.
        diurnal: amplitude of a daily wave in traffic, errors and latency, shared by the cohorts.
        outage: (first window, last, error rate) of a dependency that both cohorts share.
        memory_sd, memory_wander: spread of instances, and (sd, correlation) of a cohort's own memory.
        warmup: first windows in which the canary is cold (errors x3, latency x1.5).
        history: A/A windows before the rollout.
        family: of the noise that `wander` describes.
        gamma: shape of a gamma factor of each window's own error rate (negative binomial counts); 0: none.
        cluster: mean size of clusters in which errors come; 1: alone.
        traffic: (sd, Hurst parameter) of the log of the traffic that both cohorts share.
    """

    rps: float = 200.0
    split: float = 0.05
    errors: float = 0.005
    slow: Slow = field(default_factory=Slow)
    wander: tuple[float, float] = (0.0, 0.0)
    burst: tuple[float, float, float] = (0.0, 1.0, 1.0)
    diurnal: float = 0.0
    outage: tuple[int, int, float] | None = None
    memory_sd: float = 0.02
    memory_wander: tuple[float, float] = (0.01, 0.6)
    warmup: int = 0
    history: int = 120
    family: Family = Family.AR
    gamma: float = 0.0
    cluster: float = 1.0
    traffic: tuple[float, float] = (0.0, 0.5)


@dataclass(frozen=True, slots=True)
class Change:
    """What the new version does to the canary.

    Attributes:
        errors_times, errors_plus: error rate x times + plus.
        slow_times: latency of the slow requests; all_times: of all requests.
        leak: share that memory grows a window; creep: share that the error rate grows a window.
        onset, length: first window of the change and how many windows it lasts (None: for good).
    """

    errors_times: float = 1.0
    errors_plus: float = 0.0
    slow_times: float = 1.0
    all_times: float = 1.0
    leak: float = 0.0
    creep: float = 0.0
    onset: int = 0
    length: int | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row of the table.

    Attributes:
        name: as printed.
        expect: what is owed.
        median: windows within which the median run must find a regression (None: not bounded).
        found: least share of runs that must find it.
        windows: looks.
        most: windows within which every run must find it.
        tolerance: (relative, absolute) of the error gate, its pass margin five times that; None: the usual ones.
        approximate: the promise is known to be approximate in this world: its figures are published and not checked.
    """

    name: str
    expect: Expect
    world: World = field(default_factory=World)
    change: Change = field(default_factory=Change)
    median: float | None = None
    found: float = 0.95
    windows: int = 120
    most: int | None = None
    tolerance: tuple[float, float] | None = None
    approximate: bool = False

    @property
    def limit(self) -> float | None:
        """Windows that no sequential test of the tail can pass, where slower slow requests are all that changes."""
        change, world = self.change, self.world
        if change != Change(slow_times=change.slow_times) or change.slow_times <= 1.0:
            return None
        return limit(world.slow, change.slow_times, world.rps * 60.0 * world.split)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one simulated rollout ended: the window (0-based) that rolled it back, or None; and whether it was passed."""

    failed_at: int | None
    passed: bool
