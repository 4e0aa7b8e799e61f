"""Boosts e-values near the rejection threshold by their expected overshoot (Fischer and Ramdas, 2024).

A row's evidence A only decides by reaching its limit C. Given the past and the number of events of a window, there is a
factor b >= 1 with E0[min(b A, C)] equal to A before the window: the more of A's expectation lies beyond C, the larger
b. Multiplied by b, a row reaches C under the null no more often than its budget allows, and sooner under harm. Far from
the limit b is 1.
"""

import math

import numpy as np

from services.gate_evaluation.judge.arrays import Floats

NEAR = math.exp(-4.0)
"""Share of the limit from which on the factor is worked out: below, next to nothing would overshoot."""
_LATTICE = 0.05
_LEAST = 1e-9
_NORMAL_FROM = (1e5, 400.0)
"""Variance of the count (one zone), of all zones' (several), from which on it is as good as normal."""
_NORMAL: Floats = np.linspace(-7.0, 9.0, 321)


def _zone(n: int, p: float) -> tuple[int, Floats]:
    """Return the least number of canary events among n that counts, and the chances of it and those above it."""
    mean = n * p
    wide = 8.0 * math.sqrt(mean * (1.0 - p)) + 12.0
    low, top = max(int(mean - wide), 0), min(n, int(mean + wide))
    k = np.arange(low, top, dtype=np.float64)
    log = np.concatenate(([0.0], np.cumsum(np.log((n - k) / (k + 1.0)) + math.log(p / (1.0 - p)))))
    mass: Floats = np.exp(log - log.max())
    mass /= mass.sum()
    used = np.flatnonzero(mass > _LEAST)
    return low + int(used[0]), mass[used[0] : used[-1] + 1]


def scores(events: Floats, exponents: tuple[float, ...], p: float) -> tuple[Floats, Floats]:
    """Return the values of sum_z c_z a_z, rising, and their chances, where a_z of `events` in zone z are the canary's.

    Args:
        events: of both cohorts, by zone; whole numbers.
        exponents: c_z, multiples of 0.05 where there are several.
        p: the canary's share of events under the null.
    """
    several = len(exponents) > 1
    c: Floats = np.array(exponents)
    variance = p * (1.0 - p)
    if float(events.sum()) * variance > _NORMAL_FROM[several]:
        sd = math.sqrt(float((c * c) @ events) * variance)
        bell: Floats = np.exp(-0.5 * _NORMAL * _NORMAL)
        spread = float(c @ events) * p + sd * _NORMAL
        return spread, bell / bell.sum()
    zones = [_zone(int(n), p) for n in events.tolist()]
    if not several:
        low, mass = zones[0]
        return c[0] * np.arange(low, low + mass.size, dtype=np.float64), mass
    steps = [round(exponent / _LATTICE) for exponent in exponents]
    first = sum(step * low for step, (low, _) in zip(steps, zones, strict=True))
    size = sum(step * (mass.size - 1) for step, (_, mass) in zip(steps, zones, strict=True)) + 1
    room = 1 << (size - 1).bit_length()
    waves = np.ones(room // 2 + 1, dtype=np.complex128)
    for step, (_, mass) in zip(steps, zones, strict=True):
        apart = np.zeros(room)
        apart[: step * mass.size : step] = mass
        waves *= np.fft.rfft(apart)
    total = np.fft.irfft(waves, room)[:size]
    used = np.flatnonzero(total > _LEAST)
    values: Floats = np.asarray(_LATTICE * (first + used), dtype=np.float64)
    return values, total[used]


def factor(evidence: Floats, chances: Floats, limit: float) -> float:
    """Return b >= 1 with E min(b A, limit) = E A.

    Args:
        evidence: A in every outcome, rising.
        chances: of the outcomes.
        limit: beyond which evidence decides nothing more; above E A.
    """
    mass = evidence * chances
    whole = float(mass.sum())
    if not whole < limit * float(chances.sum()):
        return 1.0
    below = np.concatenate(([0.0], mass.cumsum()[:-1]))
    beyond = chances[::-1].cumsum()[::-1]
    # with b = limit / A_i, outcomes from i on are at the limit
    reached = limit * (below / evidence + beyond)
    i = int(np.searchsorted(-reached, -whole))  # `reached` falls: outcomes from i on stay at the limit
    if i == 0 or below[min(i, below.size - 1)] <= 0:
        return 1.0
    left = float(beyond[i]) if i < beyond.size else 0.0
    inside = float(below[i]) if i < below.size else whole
    return max((whole - limit * left) / inside, 1.0)


def boosting_factor(
    weighted: Floats, effects: Floats, exponents: tuple[float, ...], events: Floats, p: float, cap: float, limit: float
) -> float:
    """Return the factor for one window of a row of counts.

    Args:
        weighted: evidence of each element before the window, times its weight.
        effects: ln m of each element, all of one sign.
        exponents: c_z of the zones.
        events: of both cohorts by zone, divided by the dispersion.
        p: the canary's share of events under the null.
        cap: most that the window may add to an element.
        limit: of the row.
    """
    if not 0.0 < p < 1.0:
        return 1.0
    whole = np.rint(events)
    values, chances = scores(whole, exponents, p)
    growth = np.expm1(np.outer(effects, exponents))
    fixed = np.log1p(p * growth) @ whole
    gains = np.minimum(np.outer(values, effects) - fixed, cap)
    evidence = np.maximum(np.exp(gains) @ weighted, 1e-300)
    if effects[0] < 0:
        evidence, chances = evidence[::-1], chances[::-1]
    return factor(evidence, chances, limit)
