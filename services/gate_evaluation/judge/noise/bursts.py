"""Models bursts of one cohort alone: noise that is rare and one-sided, which a variance does not describe.

Dividing the log evidence by a variance factor keeps its expectation below 1 for noise that is roughly even; a half of
the fleet that fails three times as often in one window of thirty is not. So windows of the A/A split that lie far
outside chance are kept as a histogram of their sizes, with how often the next window bursts again, and each effect of
the grid gets the least divisor under which the expectation over that very noise, as a chain of calm and burst, does not
grow.
"""

import math

import numpy as np

from services.gate_evaluation.judge.arrays import Floats
from services.gate_evaluation.judge.noise.dispersion import Residual

_FAR = 3.5
_SIZES: Floats = np.exp(np.linspace(math.log(0.05), math.log(30.0), 25))
"""Upper sizes (u - 1, for a burst of u times) of the histogram's bins."""
_FORGET = 0.9998
_STEPS = 14
_LEAST = 1.0 / 64.0
_LARGE = 60.0
_PRIOR_STAYS, _PRIOR_BURSTS = 0.3, 4.0
"""How often a burst goes on in the next window, and the bursts that this is worth."""
_FEW = 2.5
"""Bursts from which on a channel is said to burst: lasting noise gets that far from chance once or twice."""
_UNSEEN = 2.0
"""Bursts added once any was seen: a history with a few of them may well have been a lucky one."""


class Bursts:
    """How often, and by how much, one half of the fleet bursts, by channel; shape (channels, sizes)."""

    def __init__(self, channels: int, *, by_expected: bool = False) -> None:
        self._by_expected = by_expected
        self.counts: Floats = np.zeros((channels, _SIZES.size))
        self.windows: Floats = np.zeros(channels)
        self.again: Floats = np.zeros(channels)
        self.last: Floats = np.zeros(channels)
        self.calm: Floats = np.ones(channels)

    def update_calm(self) -> None:
        """Recompute `calm` (1 where a channel hardly ever bursts, else 0) from the counts."""
        self.calm = np.where(self.counts.sum(axis=1) > _FEW, 0.0, 1.0)

    def update(self, residuals: list[Residual | None]) -> None:
        """Take one A/A window: either half may have burst, so it counts as two."""
        for channel, found in enumerate(residuals):
            if found is None or found.expected_sampling <= 0:
                continue
            self.counts[channel] *= _FORGET
            self.again[channel] *= _FORGET
            self.windows[channel] = self.windows[channel] * _FORGET + 2.0
            size, side = abs(found.value), math.copysign(1.0, found.value)
            chance = found.expected_sampling
            if not self._by_expected:
                chance = max(
                    chance, found.sampling
                )  # few events are skewed: ten where three were expected are no burst
            if size <= _FAR * math.sqrt(chance):
                self.last[channel] = 0.0
                continue
            self.counts[channel, min(int(_SIZES.searchsorted(size)), _SIZES.size - 1)] += 1.0
            self.again[channel] += self.last[channel] == side
            self.last[channel] = side
        self.update_calm()

    def divisors(self, channel: int, events: float, effects: Floats, cap: float) -> Floats:
        """Return the least divisor (>= 1) of each effect's log evidence.

        Args:
            channel: whose noise.
            events: canary events a window at the baseline's rate, shrunk by the share.
            effects: ln m > 0.
            cap: most that one window may add.
        """
        counts = self.counts[channel]
        used = counts > 0
        if not used.any() or not events > 0:
            return np.ones(effects.size)
        bursts = float(counts.sum())
        chance = min((bursts + _UNSEEN) / float(self.windows[channel]), 0.5)
        weights = counts[used] / bursts
        sizes = np.concatenate(([1.0], 1.0 + _SIZES[used]))
        sizes /= (1.0 - chance) + chance * float(weights @ sizes[1:])
        again = float(self.again[channel]) + _PRIOR_STAYS * _PRIOR_BURSTS
        stays = max(again / (bursts + _PRIOR_BURSTS), chance)

        def fair(theta: Floats) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
            each = _expectations(events, sizes, effects, theta, cap)
            return np.asarray(_growth(each[:, 0], each[:, 1:] @ weights, chance, stays) <= 1.0)

        low, high = np.full(effects.size, _LEAST), np.ones(effects.size)
        for _ in range(_STEPS):
            middle = np.sqrt(low * high)
            good = fair(middle)
            low, high = np.where(good, middle, low), np.where(good, high, middle)
        found: Floats = np.where(fair(np.ones(effects.size)), 1.0, 1.0 / low)
        return found


def _growth(calm: Floats, burst: Floats, chance: float, stays: float) -> Floats:
    """Return the growth a window of the expectation over a chain of calm and burst (its matrix's largest root)."""
    enters = min(chance * (1.0 - stays) / (1.0 - chance), 1.0)
    trace = (1.0 - enters) * calm + stays * burst
    determinant = ((1.0 - enters) * stays - enters * (1.0 - stays)) * calm * burst
    return 0.5 * (trace + np.sqrt(np.maximum(trace * trace - 4.0 * determinant, 0.0)))


def _expectations(events: float, sizes: Floats, effects: Floats, theta: Floats, cap: float) -> Floats:
    """Return E exp(min(theta l, cap)) for each effect and each size of the canary's rate; shape (effects, sizes)."""
    fixed = theta * events * np.expm1(effects)
    if events * float(sizes.max()) > _LARGE:
        logs = events * np.outer(np.expm1(theta * effects), sizes) - fixed[:, None]
        return np.asarray(np.exp(np.minimum(logs, 100.0)))
    x = np.arange(int(4.0 * _LARGE))
    factorials = np.cumsum(np.log(np.maximum(x, 1.0)))
    rates = events * sizes
    mass = np.exp(x[None, :] * np.log(rates)[:, None] - rates[:, None] - factorials[None, :])
    gains = np.minimum(np.outer(theta * effects, x) - fixed[:, None], cap)
    return np.asarray(np.exp(gains) @ mass.T)
