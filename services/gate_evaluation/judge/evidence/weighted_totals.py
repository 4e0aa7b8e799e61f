"""Rollout-to-date means of both cohorts, so that the estimate and its interval cover the same windows."""

import math
from dataclasses import astuple, dataclass


@dataclass(slots=True)
class WeightedTotals:
    """Weighted sums of a rollout: of both cohorts' values, and of the weights."""

    canary: float = 0.0
    baseline: float = 0.0
    weight: float = 0.0

    def add(self, canary: float, baseline: float, weight: float) -> None:
        """Take one window: both cohorts' values, and what they weigh (the less, the noisier)."""
        self.canary += weight * canary
        self.baseline += weight * baseline
        self.weight += weight

    def add_counts(self, canary: float, n_canary: float, baseline: float, n_baseline: float) -> None:
        """Take events of totals: either cohort's by the other's share, as a comparison given all events weighs them."""
        both = n_canary + n_baseline
        self.canary += canary * n_baseline / both
        self.baseline += baseline * n_canary / both
        self.weight += n_canary * n_baseline / both

    @property
    def pair(self) -> tuple[float, float] | None:
        """The mean of either cohort, None before any window."""
        return (self.canary / self.weight, self.baseline / self.weight) if self.weight > 0 else None

    def to_list(self) -> list[float]:
        """Return the sums in the order of the fields."""
        return list(astuple(self))


def shifted(whole: WeightedTotals) -> tuple[float, float] | None:
    """Return both means where the sums hold the log ratio as the canary's value."""
    pair = whole.pair
    return None if pair is None else (pair[1] * math.exp(pair[0]), pair[1])
