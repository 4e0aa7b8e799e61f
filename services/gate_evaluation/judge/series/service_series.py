"""One number a window for the whole service, as gates without a control need it."""

import math

import numpy as np

from services.gate_evaluation.judge.measures import (
    Cohort,
    Count,
    ExplicitHistogram,
    ExponentialHistogram,
    Gauge,
    Measure,
    MeasureError,
    Ratio,
    Window,
)
from services.gate_evaluation.judge.series.histograms import Frame

_TAIL = 0.99


def value_of(found: list[Measure], q: float | None) -> float | None:
    """Return a rate, a mean, or the quantile q of these measures together.

    None where they hold nothing, are of several forms, or have buckets that cannot be added up.
    """
    match found:
        case [Ratio(), *_]:
            return _rate([(m.events, m.total) for m in found if isinstance(m, Ratio)], len(found), 1.0)
        case [Count(), *_]:
            return _rate([(m.value, m.exposure) for m in found if isinstance(m, Count)], len(found), 0.0)
        case [Gauge(), *_]:
            gauges = [(m.sum, m.count) for m in found if isinstance(m, Gauge)]
            total, count = (sum(part) for part in zip(*gauges, strict=True))
            return total / count if count > 0 and total > 0 and len(gauges) == len(found) else None
        case _:
            histograms = [m for m in found if isinstance(m, ExponentialHistogram | ExplicitHistogram)]
            return _quantile(histograms, q) if found and len(histograms) == len(found) else None


def _rate(pairs: list[tuple[float, float]], expected: int, more: float) -> float | None:
    events, total = (sum(part) for part in zip(*pairs, strict=True))
    # Half an event more than were seen: a service without errors has a logarithm, too.
    return (events + 0.5) / (total + more) if total > 0 and len(pairs) == expected else None


def _quantile(histograms: list[ExponentialHistogram | ExplicitHistogram], q: float | None) -> float | None:
    frame = Frame()
    try:
        for histogram in histograms:
            frame.place(histogram)
        cells = np.sum([frame.place(histogram) for histogram in histograms], axis=0)
    except MeasureError:
        return None
    return frame.quantile(frame.tails(cells), q if q is not None else _TAIL)


def measures_of(metric: str, *cohorts: Cohort | None) -> list[Measure]:
    """Return what these cohorts measured of a metric."""
    return [each.measures[metric] for each in cohorts if each is not None and metric in each.measures]


def of_service(window: Window, metric: str) -> list[Measure]:
    """Return what the whole service measured: canary and baseline, or, where only they are told, its two halves."""
    return measures_of(metric, window.canary, window.baseline) or measures_of(metric, window.a, window.b)


def amount_of(measure: Measure) -> float:
    """Return how much a measure counts: requests, instances, or exposure."""
    match measure:
        case Ratio(total=amount) | Count(exposure=amount):
            return amount
        case Gauge(count=amount) | ExplicitHistogram(count=amount) | ExponentialHistogram(count=amount):
            return amount


def log_of(value: float | None) -> float | None:
    """Return the logarithm of a value above zero."""
    return math.log(value) if value is not None and value > 0 else None
