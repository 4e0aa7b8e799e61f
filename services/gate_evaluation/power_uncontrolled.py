"""What gates without a control group can see: a burning budget by the clock, a step against the service's own past."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from services.gate_evaluation.judge.gates.burn_rate import PAIRS, Pair, certain_after, excess
from services.gate_evaluation.judge.gates.own_history import OwnHistoryMonitor
from services.gate_evaluation.judge.series.forecast import FEWEST, POINT_S
from services.gate_evaluation.judge.spec import GateSpec, JudgeSpec

_STEP_POINTS = 6
"""Points of five minutes that a step takes to raise the alarm, among the fewest residuals that are ranked in."""
_STRAY = 0.15
"""Log difference beyond which hardly a point of a calm service strays, before its own past has shown how far."""
_MONTH = 30 * 86400.0
_HALVINGS = 40


@dataclass(frozen=True, slots=True)
class Sight:
    """What such a gate sees, in the words of `power.GatePower`.

    Attributes:
        more: how many times the traffic it needs to be certain of anything, 1 where it has enough.
    """

    events_per_window: float
    tolerance: float
    visible: float
    windows_for_margin: float | None
    noise: float
    points: int
    more: float = 1.0


def of_burn(gate: GateSpec, spec: JudgeSpec, requests: float) -> Sight:
    """Return the least burn that is certain within the bake, beyond the budget, and when the first pair speaks.

    Args:
        requests: of the canary in a window.
    """
    budget = 1.0 - (gate.objective or 0.0)
    bake = spec.max_bake * spec.window_seconds
    pairs = [pair._replace(factor=pair.factor * gate.period / _MONTH) for pair in PAIRS]
    needed = certain_after(spec.max_bake)
    seen = {pair: _burn(pair, budget, requests / spec.window_seconds, bake, needed) for pair in pairs}
    rates = [rate for rate in seen.values() if rate is not None]
    visible = min(rates) / budget - 1.0 if rates else math.inf
    speaks = math.ceil(pairs[0].short / spec.window_seconds)
    sure = pairs[0].factor * budget
    total = requests / spec.window_seconds * pairs[0].short
    more = needed / -math.log(sure) / max(total, 1e-9) if sure < 1.0 else math.inf
    found = speaks if more <= 1.0 else None
    return Sight(requests * budget, pairs[0].factor - 1.0, visible, found, 0.0, 0, max(more, 1.0))


def _burn(pair: Pair, budget: float, per_second: float, bake: float, needed: float) -> float | None:
    """Return the least share of bad events that makes this pair certain at the end of the bake, None if none does."""
    if bake < pair.short:
        return None
    total, least = per_second * pair.short, pair.factor * budget
    return _least(lambda share: excess(share * total, total, least) >= needed, least, 1.0)


def _least(enough: Callable[[float], bool], low: float, high: float) -> float | None:
    if low >= high or not enough(high):
        return None
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def of_own_history(comparison: OwnHistoryMonitor, spec: JudgeSpec, split: float) -> Sight:
    """Return the least step of the canary that, at its share of the service, is beyond all that was ever seen."""
    scores = comparison.forecast.scores
    stray = max(scores) if len(scores) >= FEWEST else _STRAY
    visible = math.expm1(max(stray, 1e-9)) / split
    windows = math.ceil(_STEP_POINTS * POINT_S / spec.window_seconds)
    return Sight(0.0, 0.0, visible, windows, stray, len(scores))
