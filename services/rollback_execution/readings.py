"""From a window's measures to readings small enough to keep: requests, ratios, means, quantiles at fixed levels."""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate

from penstock.events import Count, ExplicitHistogram, ExponentialHistogram, Gauge, Measure, Ratio
from services.rollback_execution.state import Reading

LEVELS = (0.5, 0.75, 0.9, 0.95, 0.99, 0.999)
"""Quantiles that a reading keeps; a gate's own is compared at the nearest of them, for its plan may come later."""


def nearest_level(quantile: float) -> int:
    """Return the index of the level nearest to `quantile`, by odds, so that .99 and .999 are far apart."""
    return min(range(len(LEVELS)), key=lambda place: abs(_logit(LEVELS[place]) - _logit(quantile)))


def requests(measures: Mapping[str, Measure]) -> float:
    """Return how many requests these measures show: the largest of their counts, 0 where nothing was measured."""
    return max((_requests(measure) for measure in measures.values()), default=0.0)


def readings_of(measures: Mapping[str, Measure]) -> dict[str, Reading]:
    """Return a reading of each measure that holds anything."""
    readings = {name: _reading(measure) for name, measure in sorted(measures.items())}
    return {name: reading for name, reading in readings.items() if reading is not None}


def _requests(measure: Measure) -> float:
    match measure:
        case Ratio():
            return measure.total
        case ExponentialHistogram() | ExplicitHistogram():
            return float(measure.count)
        case Count():
            return measure.value
        case Gauge():
            return 0.0


def _reading(measure: Measure) -> Reading | None:
    match measure:
        case Ratio():
            return Reading(measure.total, bad=measure.events) if measure.total else None
        case Gauge():
            return Reading(float(measure.count), mean=_short(measure.sum / measure.count)) if measure.count else None
        case Count():
            return Reading(1.0, mean=_short(measure.value / measure.exposure)) if measure.exposure else None
        case ExponentialHistogram():
            buckets = _exponential(measure)
        case ExplicitHistogram():
            buckets = _explicit(measure)
    if not measure.count:
        return None
    mean = _short(measure.sum / measure.count)
    return Reading(float(measure.count), mean=mean, levels=_quantiles(list(buckets)))


Bucket = tuple[float, float, int]
"""Lower edge, upper edge, count."""


def _exponential(histogram: ExponentialHistogram) -> Iterable[Bucket]:
    yield 0.0, 0.0, histogram.zero_count
    growth = 2.0 ** (2.0**-histogram.scale)
    for place, count in enumerate(histogram.counts):
        low = growth ** (histogram.offset + place)
        yield low, low * growth, count


def _explicit(histogram: ExplicitHistogram) -> Iterable[Bucket]:
    if not histogram.bounds:
        return
    edges = (min(0.0, histogram.bounds[0]), *histogram.bounds, histogram.bounds[-1])
    yield from zip(edges, edges[1:], histogram.counts, strict=False)


def _quantiles(buckets: Sequence[Bucket]) -> tuple[float, ...]:
    ends = list(accumulate(count for _, _, count in buckets))
    if not ends or not ends[-1]:
        return ()
    return tuple(_short(_quantile(buckets, ends, level * ends[-1])) for level in LEVELS)


def _quantile(buckets: Sequence[Bucket], ends: Sequence[int], rank: float) -> float:
    place = next(place for place, end in enumerate(ends) if end >= rank and buckets[place][2])
    low, high, count = buckets[place]
    return low + (high - low) * (rank - (ends[place] - count)) / count


def _short(value: float) -> float:
    return float(f"{value:.6g}")


def _logit(share: float) -> float:
    return math.log(share / (1.0 - share))
