"""State of a comparison of counts between windows: the smoothed rate, the running ratio, the residual."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from services.gate_evaluation.judge.evidence.weighted_totals import WeightedTotals
from services.gate_evaluation.judge.noise.dispersion import Residual

FORGET = 0.03
"""Weight of the newest window in a smoothed rate (about 33 windows back)."""
_RUNNING_PRIOR = 5.0
_FLOOR = 0.4


@dataclass(slots=True)
class RateState:
    """State of one comparison of counts.

    Attributes:
        events, total: smoothed per window (the newest weighs FORGET, the first windows alike).
        seen: windows in the smoothed rate.
        all_events, all_total: baseline events over history and rollout.
        canary, expected, exposed: running canary events, those that the baseline's rate predicts, and canary total.
        whole: both rates over the whole rollout.
    """

    events: float = 0.0
    total: float = 0.0
    seen: float = 0.0
    all_events: float = 0.0
    all_total: float = 0.0
    canary: float = 0.0
    expected: float = 0.0
    exposed: float = 0.0
    whole: WeightedTotals = field(default_factory=WeightedTotals)

    def start_rollout(self) -> None:
        """Begin a rollout: nothing is known of its canary."""
        self.canary = self.expected = self.exposed = 0.0
        self.whole = WeightedTotals()

    @property
    def rate(self) -> float:
        """Smoothed baseline rate, shrunk a little towards 0.005 so that it is defined before any window."""
        return (self.events + 0.5 * FORGET) / (self.total + 100.0 * FORGET)

    @property
    def ratio(self) -> float:
        """Running estimate of the ratio of rates, shrunk towards 1."""
        value = (self.canary + _RUNNING_PRIOR) / (self.expected + _RUNNING_PRIOR)
        return min(max(value, 0.02), 50.0)

    def absorb(self, events: float, total: float) -> None:
        """Take one window of the baseline into the smoothed rate."""
        self.seen += 1.0
        step = max(1.0 / self.seen, FORGET)
        self.events += step * (events - self.events)
        self.total += step * (total - self.total)
        self.all_events += events
        self.all_total += total

    def run(self, canary: float, n_canary: float, baseline: float, n_baseline: float) -> None:
        """Take one window into the running ratio."""
        keep = 1.0 - FORGET
        self.canary = keep * self.canary + canary
        self.expected = keep * self.expected + baseline * n_canary / n_baseline
        self.exposed = keep * self.exposed + n_canary

    def to_list(self) -> list[float]:
        """Return the state in the order of the fields."""
        kept = (self.events, self.total, self.seen, self.all_events, self.all_total)
        return [*kept, self.canary, self.expected, self.exposed, *self.whole.to_list()]

    @classmethod
    def from_list(cls, values: Sequence[float]) -> "RateState":
        """Continue from `to_list`."""
        events, total, seen, all_events, all_total, canary, expected, exposed, *whole = values
        return cls(events, total, seen, all_events, all_total, canary, expected, exposed, WeightedTotals(*whole))


def is_incident(smoothed: float, x: float) -> bool:
    """Return whether a window has far more events than past windows led to expect: an outage, or gross harm."""
    return x > 3.0 * smoothed + 10.0


def expected_events(smoothed: float, x: float) -> float:
    """Return x_e: events expected from past windows, or the realised ones in an incident."""
    return x if is_incident(smoothed, x) else smoothed


def floor_of(expected: float, total: float) -> float:
    """Return the share of binomial variance that is left when events are a large part of all requests."""
    return max(1.0 - expected / total, _FLOOR) if total > 0 else 1.0


def residual(
    x_a: float, n_a: float, x_b: float, n_b: float, *, expected: float, ratio: float = 1.0, poisson: bool = False
) -> Residual | None:
    """Return the log difference of two cohorts' rates around `ratio`, or None when too little is expected to tell.

    Args:
        x_a, n_a, x_b, n_b: events and totals (or exposures) of either cohort.
        expected: events of both, expected from past windows.
        ratio: the ratio of rates assumed (the running estimate within a rollout).
        poisson: totals are exposures, not trials.
    """
    if n_a <= 0 or n_b <= 0:
        return None
    x = x_a + x_b
    share = n_a * ratio / (n_a * ratio + n_b)
    v = expected * share * (1.0 - share)
    if v < 1e-3:
        return None
    room = 1.0 if poisson else max(1.0 - expected / (n_a + n_b), 0.0)
    value = (x_a - x * share) / v
    if not math.isfinite(value):
        return None
    return Residual(value, room * x / (expected * v), room / v)
