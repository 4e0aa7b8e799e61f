"""Merged exponential histograms of windows: count, mean, quantiles and tails, for the demo's own account."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from penstock.events import Cohort, ExponentialHistogram, WindowClosed


@dataclass(frozen=True)
class Distribution:
    """Buckets by index at one scale: bucket i holds (base^i, base^(i+1)], base = 2^(2^-scale)."""

    scale: int
    buckets: dict[int, int]
    count: int
    sum: float

    @property
    def mean(self) -> float:
        """Mean, in the metric's unit."""
        return self.sum / self.count

    def quantile(self, q: float) -> float:
        """Return the upper edge of the bucket that holds the quantile."""
        wanted, passed = q * self.count, 0
        for index in sorted(self.buckets):
            passed += self.buckets[index]
            if passed >= wanted:
                return self._edge(index + 1)
        return 0.0

    def above(self, limit: float) -> int:
        """Return how many lie in buckets wholly above `limit`."""
        return sum(count for index, count in self.buckets.items() if self._edge(index) >= limit)

    def _edge(self, index: int) -> float:
        return float(2.0 ** (index * 2.0**-self.scale))


def merged(histograms: Iterable[ExponentialHistogram]) -> Distribution | None:
    """Return the sum of histograms at the coarsest of their scales; None without any observation."""
    found = [histogram for histogram in histograms if histogram.count]
    if not found:
        return None
    scale = min(histogram.scale for histogram in found)
    buckets: Counter[int] = Counter()
    for histogram in found:
        for place, count in enumerate(histogram.counts):
            if count:
                buckets[(histogram.offset + place) >> (histogram.scale - scale)] += count
    return Distribution(scale, dict(buckets), sum(buckets.values()), sum(histogram.sum for histogram in found))


def of_windows(windows: Iterable[WindowClosed], cohort: Cohort, gate: str) -> Distribution | None:
    """Return what a cohort's requests took over some windows, as the gate read it."""
    measures = (window.measures.get(cohort, {}).get(gate) for window in windows)
    return merged(measure for measure in measures if isinstance(measure, ExponentialHistogram))
