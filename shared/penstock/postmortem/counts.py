"""How many requests of a window a measure counts, and how many of them were bad."""

from penstock.events import ExplicitHistogram, ExponentialHistogram, Measure, Ratio


def bad_of(measure: Measure, edge: float | None) -> tuple[float, float]:
    """Return (bad, all) requests: errors of a ratio, those slower than `edge` of a histogram; (0, 0) of others.

    Args:
        edge: in the metric's unit; buckets count from the first one that begins at or above it.
    """
    match measure:
        case Ratio():
            return measure.events, measure.total
        case ExponentialHistogram() | ExplicitHistogram():
            slow = 0 if edge is None else sum(n for low, n in _buckets(measure) if low >= edge * (1 - 1e-9))
            return float(slow), float(measure.count)
        case _:
            return 0.0, 0.0


def _buckets(histogram: ExponentialHistogram | ExplicitHistogram) -> list[tuple[float, int]]:
    if isinstance(histogram, ExplicitHistogram):
        return list(zip((float("-inf"), *histogram.bounds), histogram.counts, strict=False))
    base = 2.0 ** (2.0**-histogram.scale)
    return [(base ** (histogram.offset + place), n) for place, n in enumerate(histogram.counts)]
