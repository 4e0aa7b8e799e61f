"""Rolling sums of counts by the clock, over the last minutes to days, whatever the length of the windows."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from services.gate_evaluation.judge.arrays import Floats

_COLUMNS = 4


class Span(NamedTuple):
    """When a window lies: start and end in seconds, on any one clock."""

    start: float
    end: float


class _Tier(NamedTuple):
    """Cells of at most `grain` seconds (a longer window is a cell of its own), kept for spans up to `reach`."""

    grain: float
    reach: float


_TIERS = (_Tier(30.0, 300.0), _Tier(300.0, 21600.0), _Tier(3600.0, 259200.0))


class RollingCounts:
    """Events and totals of the last three days, the nearer the finer. Times are seconds on any one clock.

    A window is never cut: its events are known, but not where in it they fell. So a span is as exact as half a cell,
    and one that is shorter than a window is that window.
    """

    def __init__(self) -> None:
        self._cells: list[list[list[float]]] = [[] for _ in _TIERS]  # start, end, events, total
        self.now = 0.0

    def add(self, start: float, end: float, events: float, total: float) -> None:
        """Take one window."""
        self.now = max(self.now, end)
        for tier, cells in zip(_TIERS, self._cells, strict=True):
            if cells and end - cells[-1][0] <= tier.grain + 1e-6:
                last = cells[-1]
                last[1], last[2], last[3] = end, last[2] + events, last[3] + total
            else:
                cells.append([start, end, events, total])
            while cells and cells[0][1] <= self.now - tier.reach:
                del cells[0]

    def over(self, span: float) -> tuple[float, float]:
        """Return events and total of the last `span` seconds (as far as they go back)."""
        cells = next(cells for tier, cells in zip(_TIERS, self._cells, strict=True) if span <= tier.reach)
        since = self.now - span
        within = [cell for cell in cells if cell[0] + cell[1] >= 2.0 * since]
        if not within:
            within = [cell for cell in cells[-1:] if cell[1] > since]
        return sum(cell[2] for cell in within), sum(cell[3] for cell in within)

    def arrays(self) -> list[Floats]:
        """Return the cells as arrays."""
        return [np.array(cells, dtype=np.float64).reshape(-1, _COLUMNS) for cells in self._cells]

    def restore(self, arrays: Sequence[Floats], now: float) -> None:
        """Continue from `arrays`."""
        self._cells, self.now = [array.tolist() for array in arrays], now
