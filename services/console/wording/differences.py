"""A gate's difference from control, its bounds and lines, in the measure shown: shares in points, all else relative."""

from typing import NamedTuple

from penstock.events import GateVerdict
from penstock.events.verdicts import Deciding, Direction
from penstock.wording import figures

_WITHOUT_LIMIT = frozenset({"burn_rate", "own_history"})
"""Kinds whose limit is no difference: a certainty over several spans, an alarm."""


class Difference(NamedTuple):
    """Canary minus control after one window, its anytime-valid bounds, and the lines that they are compared with.

    Attributes:
        low, high: the bounds that decide. Where worse is higher, a breach has `low` above `limit`, and a pass has
            `high` below `pass_line`; where worse is lower, the other way round.
        limit: the line of a breach; pass_line: that of a pass, None in events of older judges.
        direction: which way is worse, `up` where None; the limit lies on that side.
        in_points: differences of shares, shown in percentage points; otherwise relative to control.
    """

    estimate: float | None
    low: float | None
    high: float | None
    limit: float | None
    in_points: bool
    direction: Direction | None = None
    pass_line: float | None = None

    def words(self, value: float | None, missing: str = "–") -> str:
        """Return one of the numbers with its sign and unit."""
        return missing if value is None else self._show(value)

    @property
    def limit_words(self) -> str:
        """The limit with the sign of its side; a dash where there is none."""
        return "–" if self.limit is None else figures.towards(self.direction, abs(self.limit), self._show)

    @property
    def band(self) -> str:
        """The band: `+12 % … +64 %`; a dash before there is one."""
        if self.low is None and self.high is None:
            return "–"
        return f"{self.words(self.low, '−∞')} … {self.words(self.high, '∞')}"

    def _show(self, value: float) -> str:
        return figures.points(value, signed=True) if self.in_points else figures.percent(value)


def difference_of(gate: GateVerdict) -> Difference:
    """Return a gate's difference in the measure that its readers think in.

    Where control has a share of 0.001 %, every relative difference and its limit are enormous; percentage points are
    readable.
    """
    if gate.fails is not None and gate.kind not in _WITHOUT_LIMIT:
        return _by_bounds(gate, gate.fails)
    limit, side = gate.detail.get("limit_absolute"), gate.direction
    measured = gate.no_data is None and gate.absolute is not None
    if gate.kind == "ratio" and measured and isinstance(limit, int | float):
        points = _towards(side, float(limit))
        return Difference(gate.absolute, gate.absolute_low, gate.absolute_high, points, True, side)
    relative = gate.tolerance_effective if gate.tolerance_effective is not None else gate.tolerance
    if gate.kind in _WITHOUT_LIMIT:
        relative = None
    return Difference(gate.estimate, gate.low, gate.high, _towards(side, relative), False, side)


def _by_bounds(gate: GateVerdict, fails: Deciding) -> Difference:
    in_points = gate.kind == "ratio" and fails.absolute_line is not None
    estimate, low, high = (
        (gate.absolute, gate.absolute_low, gate.absolute_high) if in_points else (gate.estimate, gate.low, gate.high)
    )
    pass_line = None
    for found, is_low in ((gate.passes, False), (fails, True)):
        if found is not None:
            bound = found.absolute_bound if in_points else found.bound
            if is_low is (found.worse is Direction.UP):
                low = bound
            else:
                high = bound
            if found is gate.passes:
                pass_line = found.absolute_line if in_points else found.line
    limit = fails.absolute_line if in_points else fails.line
    return Difference(estimate, low, high, limit, in_points, gate.direction, pass_line)


def _towards(direction: Direction | None, size: float | None) -> float | None:
    # Of a limit on both sides the chart draws the upper one; the words name both.
    return -size if size is not None and direction is Direction.DOWN else size
