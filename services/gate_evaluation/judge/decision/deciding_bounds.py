"""The two bounds that decide a gate, each beside the line that the rule compares it with.

F and P test one null each: the tolerance and the pass margin. The rows of the displayed interval test a grid of further
nulls. Here both form one curve of evidence over nulls, with the deciding e-process at its own null. So the bound
crosses its line exactly when the rule decides, and no shown bound contradicts the word.
"""

import math
from collections.abc import Sequence

import msgspec

from services.gate_evaluation.judge.arrays import Floats
from services.gate_evaluation.judge.gates.layout import GateLayout
from services.gate_evaluation.judge.spec import Direction
from services.gate_evaluation.judge.verdict import Deciding

_SAME = 1e-9
_LEAST_RATIO = 1e-3
_NOTHING = 1e-300


class Levels(msgspec.Struct, frozen=True):
    """What decides a gate.

    Attributes:
        fail_line, pass_line: degradations (relative, >= 0) that F and P are tested at.
        log_f, log_p: their evidence (nats).
        fail_limit, pass_limit: evidence that decides (nats).
        bad: direction that is worse.
    """

    fail_line: float
    pass_line: float
    log_f: float
    log_p: float
    fail_limit: float
    pass_limit: float
    bad: Direction


def deciding_bounds(
    levels: Levels, layout: GateLayout, nulls: Floats | None, log_e: Sequence[float]
) -> tuple[Deciding | None, Deciding | None]:
    """Return the bound that a breach needs and the bound that a pass needs.

    Args:
        levels: of the gate.
        layout: its rows.
        nulls: ln T0 of the interval's rows in this window, rising; None: those of the layout.
        log_e: log evidence of every row of the bank.
    """
    low = layout.low_nulls if nulls is None else nulls
    high = layout.high_nulls if nulls is None else nulls[::-1]
    if low.size == 0 or not math.isfinite(low.item(0)):
        return None, None
    from_above = (low.tolist(), log_e[layout.low], 1.0)
    from_below = (high.tolist(), log_e[layout.high], -1.0)
    fails_down, passes_down = _sides(levels.bad, layout, log_e)
    fails = _bound(from_below if fails_down else from_above, levels.fail_line, fails_down, levels.log_f,
                   levels.fail_limit)  # fmt: skip
    passes = _bound(from_above if passes_down else from_below, levels.pass_line, passes_down, levels.log_p,
                    levels.pass_limit)  # fmt: skip
    return fails, passes


def _sides(bad: Direction, layout: GateLayout, log_e: Sequence[float]) -> tuple[bool, bool]:
    """Return whether the breach and the pass are decided by the downward side."""
    if bad is not Direction.BOTH:
        return bad is Direction.DOWN, bad is Direction.DOWN
    up, down = (_mixed(layout.fail[at : at + 1], log_e) for at in (0, 1))
    passing = [_mixed(group, log_e) for group in layout.passing]
    return down > up, passing[1] < passing[0]


def _mixed(rows: Sequence[tuple[int, float]], log_e: Sequence[float]) -> float:
    return math.log(max(sum(weight * math.exp(log_e[row]) for row, weight in rows), _NOTHING))


def _bound(
    curve: tuple[list[float], Sequence[float], float], line: float, down: bool, anchor: float, limit: float
) -> Deciding:
    nulls, logs, sign = curve
    at = math.log(max(1.0 - line, _LEAST_RATIO)) if down else math.log1p(line)
    crossed = crossing_through(nulls, logs, sign, at, anchor, limit)
    signed = -line if down else line
    bound = None if crossed is None else math.expm1(crossed)
    if bound is not None and (anchor >= limit) is ((signed - bound) * sign > 0):
        bound = signed  # the logarithm's rounding
    return Deciding(line=signed, bound=bound, down=down, error=min(2.0 * math.exp(-limit), 1.0))


def crossing_through(
    nulls: Sequence[float], logs: Sequence[float], sign: float, at: float, anchor: float, limit: float
) -> float | None:
    """Return the null at which the evidence comes down to `limit`; None where no null is rejected.

    Args:
        nulls, logs: ln T0 and log evidence of each row, from the most to the least rejected.
        sign: 1 where nulls rise, -1 where they fall.
        at, anchor: ln T0 of the deciding null, and its log evidence. Nulls before it are rejected with it; nulls after
            it are not rejected before it.
        limit: log evidence that rejects.
    """
    rejected = anchor >= limit
    last: tuple[float, float] | None = (at, anchor) if rejected else None
    for null, log in zip(nulls, logs, strict=True):
        ahead = (null - at) * sign
        if rejected:
            if ahead <= _SAME:
                continue
            log = min(log, anchor)
        elif ahead >= -_SAME:
            break
        if log < limit:
            return None if last is None else _between(last, (null, log), limit)
        last = (null, log)
    if last is None or rejected:
        return None if last is None else last[0]
    return _between(last, (at, anchor), limit)


def _between(above: tuple[float, float], below: tuple[float, float], limit: float) -> float:
    part = (above[1] - limit) / (above[1] - below[1])
    return above[0] + part * (below[0] - above[0])


def consistent(
    fails: Deciding | None, passes: Deciding | None, estimate: float | None, *, breach: bool, passed: bool
) -> tuple[Deciding | None, Deciding | None]:
    """Widen both bounds, as far as the word allows, so that they hold the estimate and do not cross each other.

    A wider bound excludes less, so it stays true. Bounds of one side cross where the difference changed during the
    rollout: it was larger than one and smaller than the other, at different times.
    """
    if fails is not None and passes is not None and fails.down is passes.down and _crossed(fails, passes):
        if breach:
            passes = msgspec.structs.replace(passes, bound=None)
        else:
            one, two = fails.bound, passes.bound
            fails, passes = msgspec.structs.replace(fails, bound=two), msgspec.structs.replace(passes, bound=one)
    if estimate is not None:
        fails = _holding(fails, estimate, beyond=True, stays=breach)
        passes = _holding(passes, estimate, beyond=False, stays=passed)
    return fails, passes


def _crossed(fails: Deciding, passes: Deciding) -> bool:
    if fails.bound is None or passes.bound is None:
        return False
    return fails.bound < passes.bound if fails.down else fails.bound > passes.bound


def _holding(found: Deciding | None, estimate: float, *, beyond: bool, stays: bool) -> Deciding | None:
    """Return the bound, moved to the estimate if that lies on its excluded side; `stays`: never back over its line."""
    if found is None or found.bound is None:
        return found
    towards = 1.0 if beyond is not found.down else -1.0  # sign of the side that is not excluded
    if (estimate - found.bound) * towards >= 0 or (stays and (estimate - found.line) * towards <= 0):
        return found
    return msgspec.structs.replace(found, bound=estimate)
