"""What other tools do with the same windows: thresholds with a failure limit, and Mann-Whitney at each look or once."""

import numpy as np

from tests.bench.judge.draw import STEP, CohortRun, Floats, Past, Run, edges
from tests.bench.judge.world import Outcome, Scenario

_FAILURES = 3
_ABSOLUTE = (0.01, 1.25, 1.25, 1.25)
"""Error rate, and factors over the history's p50, p99 and memory, as teams set them."""
_RELATIVE = (1.5, 1.1, 1.2, 1.1)
"""Factors over the baseline of the same five minutes."""
_Z = 2.326
_FEWEST_LOOKS = 8
_SPAN = 5


def series(cohort: CohortRun, span: int = 1) -> Floats:
    """Return error rate, p50, p99 and memory of each window, or of each `span` windows together; shape (4, T)."""
    windows = cohort.requests.size // span * span
    requests, errors = (v[:windows].reshape(-1, span).sum(1) for v in (cohort.requests, cohort.errors))
    buckets = cohort.buckets[:windows].reshape(-1, span, cohort.buckets.shape[1]).sum(1)
    memory = cohort.memory[:windows].reshape(-1, span, 3).sum(1)
    rate = errors / np.maximum(requests, 1.0)
    quantiles = [_quantile(buckets, q) for q in (0.5, 0.99)]
    return np.stack((rate, *quantiles, memory[:, 1] / memory[:, 0]))


def _quantile(buckets: Floats, q: float) -> Floats:
    total = np.cumsum(buckets, axis=1)
    wanted = q * total[:, -1:]
    cell = np.argmax(total >= wanted, axis=1)
    rows = np.arange(cell.size)
    inside = np.maximum(buckets[rows, cell], 1.0)
    part = 1.0 - (total[rows, cell] - wanted[:, 0]) / inside
    found: Floats = np.exp(edges()[cell] + part * STEP)
    return found


def _first(over: "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]", limit: int, span: int) -> int | None:
    """Return the window in which some metric has failed more than `limit` times."""
    failed = (np.cumsum(over, axis=1) > limit).any(axis=0)
    return int(np.argmax(failed)) * span + span - 1 if failed.any() else None


def usual(past: Past) -> Floats:
    """Return what the metrics were before the rollout; shape (4,)."""
    found: Floats = series(past.a).mean(axis=1)
    return found


def thresholds(scenario: Scenario, run: Run, before: Floats) -> Outcome:
    """Absolute thresholds each window, rolled back at the fourth failure of a metric; `before` as `usual` has it."""
    limits = np.array([_ABSOLUTE[0], *(before[1:] * _ABSOLUTE[1:])])
    failed = _first(_counted(scenario, series(run.canary)) > limits[:, None], _FAILURES, 1)
    return _outcome(scenario, failed)


def relative(scenario: Scenario, run: Run) -> Outcome:
    """Thresholds relative to the baseline every five windows, rolled back at the fourth failure of a metric."""
    canary, baseline = series(run.canary, _SPAN), series(run.baseline, _SPAN)
    return _outcome(scenario, _first(canary > baseline * np.array(_RELATIVE)[:, None], _FAILURES, _SPAN))


def _z(canary: Floats, baseline: Floats) -> Floats:
    """Return the Mann-Whitney z of each metric over the windows up to each look; shape (4, T)."""
    above = np.sign(canary[:, :, None] - baseline[:, None, :])
    sums = np.cumsum(np.cumsum(above, axis=1), axis=2)
    t = np.arange(1, canary.shape[1] + 1)
    u = sums[:, t - 1, t - 1] / 2.0
    found: Floats = u / np.sqrt(t * t * (2.0 * t + 1.0) / 12.0)
    return found


def mann_whitney(scenario: Scenario, run: Run) -> tuple[Outcome, Outcome]:
    """Mann-Whitney (one-sided, 1 %) of each metric: at every look from the eighth, and only at the last."""
    z = _z(_counted(scenario, series(run.canary)), _counted(scenario, series(run.baseline)))
    over = z.max(axis=0) > _Z
    looks = over & (np.arange(over.size) >= _FEWEST_LOOKS)
    last = over.size - 1
    return (
        _outcome(scenario, int(np.argmax(looks)) if looks.any() else None),
        _outcome(scenario, last if over[last] else None),
    )


def _counted(scenario: Scenario, values: Floats) -> Floats:
    return values[:, scenario.world.warmup :]


def _outcome(scenario: Scenario, failed: int | None) -> Outcome:
    return Outcome(failed_at=None if failed is None else failed + scenario.world.warmup, passed=failed is None)
