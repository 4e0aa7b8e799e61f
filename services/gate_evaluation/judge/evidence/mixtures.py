"""Places the mixtures before the first window: effects, their weights, onset times and caps, by power."""

import math
from dataclasses import dataclass

ONSET_FIRST = 0.87
"""Weight of a regression that is there from the first window."""
_ONSET_BAKE = 0.10
_ONSET_LATER = 0.03
_Z = 2.1097428012368919744  # sum over t >= 2 of 1 / (t ln^2 t)

POINTS = 8
"""Effects in a grid of counts: nearer ones would only share each other's evidence."""
BELL, TAIL_BELL, _BELL_SPREAD = 0.42, 0.50, 0.20
"""Middle of the bell of their weights, for ratios and for tails, and its spread, in shares of the grid."""

TAIL_FAMILIES: tuple[tuple[float, tuple[float, ...]], ...] = (
    (0.87, (0.65, 0.85, 1.1, 1.35)),
    (0.13, (0.1, 0.4, 1.0, 2.0)),
)
"""Shapes of a tail's growth in its zones, with their weights: nearly alike, and far out alone; never decreasing."""
TAIL_SHARES = (1.0, 0.5, 0.25, 0.125)
"""Zones of a tail: edges whose upper tails are these shares of 1 - q."""

GROSS_EFFECTS = (0.25, 0.5, 1.0, 2.0, 3.0)
"""ln(q1 / q0) of the gross-harm row: from a third beyond its null to twenty times it."""
GROSS_MULTIPLE = 3.0
"""The gross-harm row's null is this many times the tolerated rate. It takes no divisor for noise, so its null allows
for noise of one cohort alone: bursts of three times the rate are the largest in the tuning worlds."""
GROSS_FLOOR = 0.05
"""Least rate of the gross-harm row's null: below 5 % of failed requests nothing is gross."""

RARE_Q1 = (0.4, 0.8, 1.3, 1.9, 2.6, 3.4)
"""ln(q1 / q0) of the one-sample side that finds rises from almost nothing."""
RARE_PASS = ((0.02, 0.5), (0.2, 0.3), (0.5, 0.2))
"""Rates as shares of the absolute margin, with weights, of the one-sample side that passes services without errors."""


def onset_weight(index: int, horizon: int) -> float:
    """Return pi_t: weight of a regression that begins at judged window `index` (0-based); sums to at most 1."""
    if index == 0:
        return ONSET_FIRST
    bake = _ONSET_BAKE / (horizon - 1) if index < horizon else 0.0
    log = math.log(index + 1)
    return bake + _ONSET_LATER / (_Z * (index + 1) * log * log)


def kl(u: float) -> float:
    """Return the nats that one expected event yields about a rate that is e^u times as high."""
    return u * math.exp(u) - math.exp(u) + 1.0


def kl_inverse(value: float, top: float = 6.0) -> float:
    """Return u in (0, top] with kl(u) = value, by bisection."""
    low, high = 0.0, top
    for _ in range(50):
        mid = 0.5 * (low + high)
        if kl(mid) < value:
            low = mid
        else:
            high = mid
    return high


@dataclass(frozen=True, slots=True)
class Power:
    """Expected canary events (shrunk by the share) in a window: at the smallest and the largest split."""

    least: float
    most: float


def effects(power: Power, share: float, horizon: int, points: int) -> list[float]:
    """Return `points` values of ln m, geometric between the least and the largest effect that the bake can tell.

    Args:
        power: expected canary events a window.
        share: alpha x weight of the gate.
        horizon: windows of the bake.
        points: how many effects.
    """
    need = math.log(1.0 / share) + 2.0
    low = min(kl_inverse(need / max(power.most * horizon, 1e-300)), 1.0)
    high = kl_inverse(need / max(power.least, 1e-300))
    high = min(max(high, 3.0 * low, 0.5), 3.0)
    return [low * (high / low) ** (i / (points - 1)) for i in range(points)]


def effect_weights(count: int, middle: float = BELL, spread: float = _BELL_SPREAD) -> tuple[float, ...]:
    """Return the weights of `count` effects of a grid, least first: a bell at `middle`, a share of the grid.

    Nats of prior are worth most there: the least effects take the whole bake whatever their weight, the largest are
    found within a few windows.
    """
    places = (i / max(count - 1, 1) for i in range(count))
    bell = [math.exp(-0.5 * ((place - middle) / spread) ** 2) for place in places]
    whole = sum(bell)
    return tuple(height / whole for height in bell)


GAUGE_POINTS = [0.02 * (6.0 / 0.02) ** (i / 9) for i in range(10)]
"""Shifts of a gauge, in standard deviations of one window."""


def cap_of(elements: int, share: float) -> float:
    """Return the most that one window may add to a log evidence, so that no single window decides."""
    return 0.5 * math.log(elements / (share * ONSET_FIRST))


def pass_effects(relative: float, multiples: tuple[float, ...]) -> list[float]:
    """Return ln m < 0 at `multiples` of ln(1 + relative)."""
    step = math.log1p(relative)
    return [-step * multiple for multiple in multiples]


PASS_RATIO = (0.5, 0.8, 1.2, 2.0)
PASS_TAIL = (0.7, 1.5, 3.0, 5.0)
PASS_GAUGE = (0.5, 0.75, 1.0, 1.3)
