"""In which measure a gate's difference from control is shown: shares in percentage points, all else relative."""

from typing import NamedTuple

from penstock import explain
from penstock.events import GateVerdict


class Difference(NamedTuple):
    """Canary minus control after one window, its anytime-valid band, and the limit.

    Attributes:
        bad: the direction in which the metric degrades; the limit lies on that side.
        in_points: differences of shares, shown in percentage points; otherwise relative to control.
    """

    estimate: float | None
    low: float | None
    high: float | None
    limit: float | None
    in_points: bool
    bad: str = "up"

    def words(self, value: float | None, missing: str = "–") -> str:
        """Return one of the numbers with its sign and unit."""
        return missing if value is None else self._show(value)

    @property
    def limit_words(self) -> str:
        """The limit with the sign of its side; a dash where there is none."""
        return "–" if self.limit is None else explain.signed(self._show, abs(self.limit), self.bad)

    @property
    def band(self) -> str:
        """The band: `+12 % … +64 %`; a dash before there is one."""
        if self.low is None and self.high is None:
            return "–"
        return f"{self.words(self.low, '−∞')} … {self.words(self.high, '∞')}"

    def _show(self, value: float) -> str:
        return explain.points(value, signed=True) if self.in_points else explain.percent(value)


def difference_of(gate: GateVerdict) -> Difference:
    """Return a gate's difference in the measure that its readers think in.

    A share of 0.001 % in control makes every relative difference enormous, and its limit with it: percentage points
    say the same without alarming anybody.
    """
    limit = gate.detail.get("limit_absolute")
    measured = gate.no_data is None and gate.absolute is not None
    if gate.kind == "ratio" and measured and isinstance(limit, int | float):
        points = _sided(float(limit), gate.bad)
        return Difference(gate.absolute, gate.absolute_low, gate.absolute_high, points, in_points=True, bad=gate.bad)
    relative = gate.tolerance_effective if gate.tolerance_effective is not None else gate.tolerance
    return Difference(gate.estimate, gate.low, gate.high, _sided(relative, gate.bad), in_points=False, bad=gate.bad)


def _sided(size: float | None, bad: str) -> float | None:
    # Of a limit on both sides the chart draws the upper one; the words name both.
    return -size if size is not None and bad == "down" else size
