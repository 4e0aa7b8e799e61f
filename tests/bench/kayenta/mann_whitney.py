"""The Mann-Whitney interval of a shift, as R's wilcox.test gives it: exact for small samples without ties."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_EXACT_BELOW = 50


@dataclass(frozen=True, slots=True)
class Interval:
    """Hodges-Lehmann estimate of experiment minus control, and its confidence interval."""

    estimate: float
    low: float
    high: float


@lru_cache(maxsize=64)
def _counts(n: int, m: int) -> tuple[int, ...]:
    """Return in how many ways U takes each value 0 .. n m under no difference."""
    table = [1] + [0] * (n * m)
    for i in range(1, n + 1):
        for u in range(m + i, n * m + 1)[::-1]:
            table[u] -= table[u - m - i]
        for u in range(i, n * m + 1):
            table[u] += table[u - i]
    return tuple(table)


def quantile(p: float, n: int, m: int) -> int:
    """Return the smallest u with P(U <= u) >= p, samples of n and m."""
    counts = _counts(n, m)
    total, seen = math.comb(n + m, n), 0
    for u, count in enumerate(counts):
        seen += count
        if seen >= p * total * (1.0 - 1e-12):
            return u
    return n * m


def difference_interval(experiment: Floats, control: Floats, level: float = 0.98) -> Interval:
    """Return estimate and interval of the shift of `experiment` over `control`.

    Args:
        experiment, control: finite values, at least one each.
        level: confidence of the two-sided interval.
    """
    differences = np.sort(np.subtract.outer(experiment, control).ravel())
    both = np.concatenate((experiment, control))
    small = max(experiment.size, control.size) < _EXACT_BELOW
    if small and np.unique(both).size == both.size:
        return _exact(differences, experiment.size, control.size, level)
    return _asymptotic(experiment, control, differences, level)


def _exact(differences: Floats, n: int, m: int, level: float) -> Interval:
    u = max(quantile((1.0 - level) / 2.0, n, m), 1)
    return Interval(float(np.median(differences)), float(differences[u - 1]), float(differences[n * m - u]))


def _asymptotic(experiment: Floats, control: Floats, differences: Floats, level: float) -> Interval:
    critical = NormalDist().inv_cdf(1.0 - (1.0 - level) / 2.0)

    def z(shift: float, correction: float) -> float:
        return _z(experiment - shift, control, correction)

    low, high = float(differences[0]), float(differences[-1])
    return Interval(
        _root(lambda d: z(d, 0.0), low, high),
        _root(lambda d: z(d, 0.5) - critical, low, high),
        _root(lambda d: z(d, -0.5) + critical, low, high),
    )


def _z(experiment: Floats, control: Floats, correction: float) -> float:
    """Return the standardised U, with R's correction for continuity and for ties."""
    n, m = experiment.size, control.size
    above = np.sign(np.subtract.outer(experiment, control))
    u = float(above.sum()) / 2.0
    _, ties = np.unique(np.concatenate((experiment, control)), return_counts=True)
    spread = (n + m + 1) - float((ties**3 - ties).sum()) / ((n + m) * (n + m - 1))
    sigma = math.sqrt(n * m / 12.0 * spread) if spread > 0 else 0.0
    return (u - correction) / sigma if sigma > 0 else math.copysign(math.inf, u) if u else 0.0


def _root(falling: Callable[[float], float], low: float, high: float) -> float:
    """Return where a falling step function passes zero, within [low, high]."""
    for _ in range(80):
        middle = 0.5 * (low + high)
        if falling(middle) > 0:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)
