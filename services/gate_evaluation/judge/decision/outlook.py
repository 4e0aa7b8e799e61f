"""When a gate is likely to be decided, and how: never later than its bake, rounded, and not changed at every window."""

import math
from typing import NamedTuple

from services.gate_evaluation.judge.decision.rule import Bake, Standing
from services.gate_evaluation.judge.evidence.reading import Description
from services.gate_evaluation.judge.verdict import Outlook

EVERY = 10
"""Judged windows for which a prediction is kept."""
_EXACT, _FIVES, _TENS = 5, 30, 120


class Prediction(NamedTuple):
    """What is expected: the outcome, and the judged window of the stage by which it comes; `made` at which one."""

    outcome: str
    due: int
    made: int


def predicted(
    standing: Standing, seen: Description, bake: Bake, alpha: float, alpha_pass: float, before: Prediction | None
) -> Prediction | None:
    """Return the prediction after a window: the one before while it is young, else a new one.

    Args:
        standing, seen: of the gate.
        bake: of the stage.
        alpha, alpha_pass: budgets.
        before: the last prediction of this stage.
    """
    if before is not None and _keeps(before, bake):
        return before
    left = bake.most - bake.judged
    if left <= 0:
        return None
    outcome, windows = _next(standing, seen, bake, alpha, alpha_pass)
    windows = _rounded(windows) if windows is not None and windows <= left else None
    if windows is not None:
        return Prediction(outcome.value, bake.judged + min(windows, left), bake.judged)
    if bake.judged < min(EVERY, bake.least):
        return None
    return Prediction(Outlook.UNDECIDED.value, bake.most, bake.judged)


def _keeps(before: Prediction, bake: Bake) -> bool:
    if before.outcome == Outlook.UNDECIDED and before.due != bake.most:
        return False
    return before.made <= bake.judged < min(before.made + EVERY, before.due)


def _next(
    standing: Standing, seen: Description, bake: Bake, alpha: float, alpha_pass: float
) -> tuple[Outlook, int | None]:
    """Return the likely outcome at the present estimate, and the windows it takes; None: not at this rate."""
    harm = -math.log(alpha * standing.weight) - standing.log_f
    clear = -math.log(alpha_pass) - standing.log_p
    if seen.gain_f > 0:
        return Outlook.BREACH, _windows(harm / seen.gain_f)
    rest = max(bake.least - bake.judged, 1)
    if clear <= 0:
        return Outlook.PASSED, rest
    return Outlook.PASSED, max(_windows(clear / seen.gain_p), rest) if seen.gain_p > 0 else None


def _windows(count: float) -> int:
    return max(math.ceil(min(count, 1e9)), 1)


def _rounded(windows: int) -> int:
    step = 1 if windows <= _EXACT else 5 if windows <= _FIVES else 10 if windows <= _TENS else 50
    return math.ceil(windows / step) * step
