"""In which measure a gate's difference from control is shown: shares in percentage points, all else relative."""

from typing import NamedTuple

from penstock import explain
from penstock.events import GateVerdict


class Difference(NamedTuple):
    """Canary minus control after one window, its anytime-valid band, and the limit.

    Attributes:
        in_points: differences of shares, shown in percentage points; otherwise relative to control.
    """

    estimate: float | None
    low: float | None
    high: float | None
    limit: float | None
    in_points: bool

    def words(self, value: float | None, missing: str = "–") -> str:
        """Return one of the numbers with its sign and unit."""
        if value is None:
            return missing
        return explain.points(value, signed=True) if self.in_points else explain.percent(value)

    @property
    def band(self) -> str:
        """The band: `+12 % … +64 %`; a dash before there is one."""
        if self.low is None and self.high is None:
            return "–"
        return f"{self.words(self.low, '−∞')} … {self.words(self.high, '∞')}"


def difference_of(gate: GateVerdict) -> Difference:
    """Return a gate's difference in the measure that its readers think in.

    A share of 0.001 % in control makes every relative difference enormous, and its limit with it: percentage points
    say the same without alarming anybody.
    """
    limit = gate.detail.get("limit_absolute")
    measured = gate.no_data is None and gate.absolute is not None
    if gate.kind == "ratio" and measured and isinstance(limit, int | float):
        return Difference(gate.absolute, gate.absolute_low, gate.absolute_high, float(limit), in_points=True)
    relative = gate.tolerance_effective if gate.tolerance_effective is not None else gate.tolerance
    return Difference(gate.estimate, gate.low, gate.high, relative, in_points=False)
