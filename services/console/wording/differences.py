"""In which measure a gate's difference from control is shown: shares in percentage points, all else relative."""

from typing import NamedTuple

from penstock.events import GateVerdict
from penstock.events.verdicts import Direction
from penstock.wording import figures

_WITHOUT_LIMIT = frozenset({"burn_rate", "own_history"})
"""Kinds whose limit is no difference: a certainty over several spans, an alarm."""


class Difference(NamedTuple):
    """Canary minus control after one window, its anytime-valid band, and the limit.

    Attributes:
        direction: which way is worse, `up` where None; the limit lies on that side.
        in_points: differences of shares, shown in percentage points; otherwise relative to control.
    """

    estimate: float | None
    low: float | None
    high: float | None
    limit: float | None
    in_points: bool
    direction: Direction | None = None

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

    A share of 0.001 % in control makes every relative difference enormous, and its limit with it: percentage points
    say the same without alarming anybody.
    """
    limit, side = gate.detail.get("limit_absolute"), gate.direction
    measured = gate.no_data is None and gate.absolute is not None
    if gate.kind == "ratio" and measured and isinstance(limit, int | float):
        points = _towards(side, float(limit))
        return Difference(gate.absolute, gate.absolute_low, gate.absolute_high, points, True, side)
    relative = gate.tolerance_effective if gate.tolerance_effective is not None else gate.tolerance
    if gate.kind in _WITHOUT_LIMIT:
        relative = None
    return Difference(gate.estimate, gate.low, gate.high, _towards(side, relative), False, side)


def _towards(direction: Direction | None, size: float | None) -> float | None:
    # Of a limit on both sides the chart draws the upper one; the words name both.
    return -size if size is not None and direction is Direction.DOWN else size
