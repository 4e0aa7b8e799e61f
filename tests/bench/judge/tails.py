"""Shapes of the simulated latency: the share of requests below each edge, and what the tail lets any test know."""

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
SCALE = 4
STEP = math.log(2.0) / 2**SCALE
LOW, HIGH = 40, 260
EDGES: Floats = STEP * np.arange(LOW, HIGH + 1, dtype=np.float64)
_FAST_MEDIAN, _FAST_SD = 55.0, 0.45
_NATS = 4.6
_LEAST = 1e-9


class Shape(StrEnum):
    """Law of the slow requests' latency."""

    LOGNORMAL = "lognormal"
    GAMMA = "gamma"
    PARETO = "pareto"


@dataclass(frozen=True, slots=True)
class Slow:
    """The slow requests: cache misses, large results, retries. The others are lognormal about 55 ms.

    Attributes:
        shape: their law.
        share: of all requests.
        at: ms: the median (lognormal), the mean (gamma) or the least (Pareto).
        spread: sd of the log (lognormal), the shape, a whole number (gamma), or the exponent (Pareto).
    """

    shape: Shape = Shape.LOGNORMAL
    share: float = 0.10
    at: float = 150.0
    spread: float = 0.5


def _normal(z: Floats) -> Floats:
    return 0.5 * np.array([math.erfc(-v / math.sqrt(2.0)) for v in z.tolist()])


def _below(slow: Slow, logs: Floats) -> Floats:
    """Return the share of slow requests below e^logs."""
    if slow.shape is Shape.LOGNORMAL:
        return _normal((logs - math.log(slow.at)) / slow.spread)
    if slow.shape is Shape.PARETO:
        return np.maximum(-np.expm1(-slow.spread * (logs - math.log(slow.at))), 0.0)
    x = np.exp(logs) * slow.spread / slow.at
    term, total = np.ones_like(x), np.zeros_like(x)
    for k in range(round(slow.spread)):
        total += term
        term = term * x / (k + 1)
    return np.asarray(1.0 - np.exp(-x) * total)


def masses(slow: Slow, slow_times: float, all_times: float) -> tuple[Floats, Floats]:
    """Return bucket masses of fast and of slow requests, each summing to 1."""
    shifted = EDGES - math.log(all_times)
    fast = _normal((shifted - math.log(_FAST_MEDIAN)) / _FAST_SD)
    late = _below(slow, shifted - math.log(slow_times))
    for cdf in (fast, late):
        cdf[0], cdf[-1] = 0.0, 1.0
    return np.diff(fast), np.diff(late)


def limit(slow: Slow, slow_times: float, requests: float, q: float = 0.99, steps: int = 1) -> float:
    """Return the windows within which no sequential test can find slower slow requests by their tail.

    It may know effect, onset and gate, and the baseline's whole tail: 4.6 nats (ln 100) over the divergence of the
    canary's counts beyond the quantile from the baseline's, as much slower as is tolerated.

    Args:
        slow: the baseline's slow requests.
        slow_times: how much slower the canary's are.
        requests: of the canary a window.
        q: the quantile.
        steps: the tolerance in buckets.
    """
    before, after = (
        (1.0 - slow.share) * fast + slow.share * late
        for fast, late in (masses(slow, 1.0, 1.0), masses(slow, slow_times, 1.0))
    )
    tails = np.concatenate((before[::-1].cumsum()[::-1], [0.0]))
    edge = int(np.abs(tails - (1.0 - q)).argmin())
    null, found = before[edge:-steps], after[edge + steps :]
    seen = null > _LEAST
    ratio = np.maximum(found[seen] / null[seen], 1e-300)
    return _NATS / (requests * float(null[seen] @ (ratio * np.log(ratio) - ratio + 1.0)))
