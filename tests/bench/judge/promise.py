"""Whether simulated runs show that a promise is kept: an anytime-valid test, since runs are added until it decides."""

import math
from enum import StrEnum

_BELOW = (0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8)
_ABOVE = (1.3, 1.7, 2.5, 4.0, 8.0)
LEVEL = 0.05
"""Chance that any row of a table is wrongly called kept; divided by the rows."""


class Shown(StrEnum):
    """What the runs show of a promise "at most p of runs"."""

    KEPT = "kept"
    BROKEN = "broken"
    OPEN = "open"


def _evidence(k: int, n: int, p: float, factors: tuple[float, ...]) -> float:
    """Return ln of the mixture of likelihood ratios of rates f p against p."""
    logs = [k * math.log(f) + (n - k) * (math.log1p(-f * p) - math.log1p(-p)) for f in factors if f * p < 1.0]
    top = max(logs)
    return top + math.log(math.fsum(math.exp(value - top) for value in logs) / len(logs))


def shown(k: int, n: int, p: float, rows: int = 1) -> Shown:
    """Return what `k` of `n` runs show of the promise that a rate is at most `p`.

    By Ville's inequality the chance of ever calling a rate above `p` kept is at most LEVEL / rows, however often more
    runs are added; the same for calling a rate of at most `p` broken.

    Args:
        k, n: failures and runs.
        p: the promise.
        rows: of the table, over which LEVEL is divided.
    """
    need = math.log(rows / LEVEL)
    if n and _evidence(k, n, p, _ABOVE) >= need:
        return Shown.BROKEN
    return Shown.KEPT if n and _evidence(k, n, p, _BELOW) >= need else Shown.OPEN


def upper(k: int, n: int) -> float:
    """Return the anytime-valid 95 % upper bound of a rate of which `k` in `n` were seen."""
    low, high = max(k / n, 1e-9) if n else 1.0, 1.0 - 1e-9
    if not n or k == n:
        return 1.0
    for _ in range(50):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if _evidence(k, n, middle, _BELOW) >= -math.log(LEVEL) else (middle, high)
    return high
