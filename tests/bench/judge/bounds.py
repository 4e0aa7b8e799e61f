"""Confidence bounds of simulated shares, exact (Clopper-Pearson), so that a table says how sure it is."""

import math
from collections.abc import Callable


def _log_terms(n: int, p: float) -> list[float]:
    """Return ln P(X = k) for k = 0 .. n of a binomial."""
    log_p, log_q = math.log(p), math.log1p(-p)
    whole = math.lgamma(n + 1)
    return [whole - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * log_p + (n - k) * log_q for k in range(n + 1)]


def at_most(k: int, n: int, p: float) -> float:
    """Return P(X <= k) of a binomial."""
    return min(math.fsum(math.exp(term) for term in _log_terms(n, p)[: k + 1]), 1.0)


def upper(k: int, n: int, level: float = 0.95) -> float:
    """Return the one-sided upper bound of a share of which `k` in `n` were seen."""
    if n == 0 or k >= n:
        return 1.0
    return _solve(lambda p: at_most(k, n, p) - (1.0 - level))


def lower(k: int, n: int, level: float = 0.95) -> float:
    """Return the one-sided lower bound of a share of which `k` in `n` were seen."""
    if n == 0 or k <= 0:
        return 0.0
    return 1.0 - upper(n - k, n, level)


def _solve(falling: Callable[[float], float]) -> float:
    low, high = 1e-12, 1.0 - 1e-12
    for _ in range(60):
        mid = 0.5 * (low + high)
        if falling(mid) > 0:
            low = mid
        else:
            high = mid
    return high
