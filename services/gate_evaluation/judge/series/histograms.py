"""Brings a metric's histograms onto one set of edges, coarsens where scales differ, and forms upper tails."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from penstock.errors import Problem
from services.gate_evaluation.judge.arrays import Floats
from services.gate_evaluation.judge.evidence.rate_state import FORGET
from services.gate_evaluation.judge.measures import ExplicitHistogram, ExponentialHistogram, MeasureError

Histogram = ExponentialHistogram | ExplicitHistogram
_MARGIN = 24
_WIDEST = 4096
_ROWS = 1
_LN2 = math.log(2.0)


def coarsened(counts: Floats, offset: int, steps: int) -> tuple[Floats, int]:
    """Merge neighbouring exponential buckets `steps` times (scale - steps); returns counts and offset."""
    first = offset >> steps
    index = ((offset + np.arange(counts.size)) >> steps) - first
    return np.bincount(index, weights=counts).astype(np.float64), first


class Cells(NamedTuple):
    """Where a frame's cells lie: the scale of exponential ones, the first edge, how many."""

    scale: int | None
    low: int
    size: int


class Frame:
    """Edges common to all histograms of a metric, and smoothed counts on them.

    Edge e is the lower boundary of cell e; the one row of `sums` is the smoothed baseline. Exponential frames grow when
    values leave them, and coarsen to the coarsest scale seen.
    """

    def __init__(self) -> None:
        self.scale: int | None = None
        self.bounds: tuple[float, ...] = ()
        self.low = 0
        self.size = 0
        self.seen = 0.0
        self.sums: Floats = np.zeros((_ROWS, 0))
        self.changed = 0

    @property
    def ready(self) -> bool:
        """Whether any histogram was placed yet."""
        return self.size > 0

    def place(self, histogram: Histogram) -> Floats:
        """Return the histogram's counts on this frame's cells (values <= 0 in the lowest).

        Raises:
            MeasureError: explicit bounds, or the kind of histogram, changed within a metric.
        """
        if isinstance(histogram, ExplicitHistogram):
            return self._place_explicit(histogram)
        counts = np.asarray(histogram.counts, dtype=np.float64)
        if self.bounds:
            raise MeasureError("histogram", [Problem("kind", "exponential after explicit buckets")])
        offset = histogram.offset
        if self.scale is None:
            self.scale = histogram.scale
        if histogram.scale < self.scale:
            self._coarsen(self.scale - histogram.scale)
        elif histogram.scale > self.scale:
            counts, offset = coarsened(counts, offset, histogram.scale - self.scale)
        if counts.size:
            self._reach(offset, offset + counts.size)
        elif not self.size:
            self._reach(offset, offset + 1)
        cells = np.zeros(self.size)
        start = offset - self.low
        cells[start : start + counts.size] = counts
        if histogram.zero_count:
            cells[0] += histogram.zero_count
        return cells

    def place_both(self, first: Histogram, second: Histogram) -> tuple[Floats, Floats]:
        """Place two histograms on the same cells, whichever of them makes the frame grow or coarsen."""
        one = self.place(first)
        changed = self.changed
        two = self.place(second)
        return (one if changed == self.changed else self.place(first)), two

    def _place_explicit(self, histogram: ExplicitHistogram) -> Floats:
        bounds = tuple(histogram.bounds)
        if self.scale is not None or (self.bounds and bounds != self.bounds):
            raise MeasureError("histogram", [Problem("bounds", "bucket bounds changed")])
        if not self.bounds:
            self.bounds = bounds
            self.size = len(bounds) + 1
            self.sums = np.zeros((_ROWS, self.size))
        return np.asarray(histogram.counts, dtype=np.float64)

    def _reach(self, first: int, last: int) -> None:
        if self.size and first >= self.low and last <= self.low + self.size:
            return
        low = min(first, self.low) if self.size else first
        high = max(last, self.low + self.size) if self.size else last
        low, high = low - _MARGIN, high + _MARGIN
        if high - low > _WIDEST:
            raise MeasureError("histogram", [Problem("offset", "values span too many buckets: lower the scale")])
        sums = np.zeros((_ROWS, high - low))
        if self.size:
            sums[:, self.low - low : self.low - low + self.size] = self.sums
        self.low, self.size, self.sums = low, high - low, sums
        self.changed += 1

    def _coarsen(self, steps: int) -> None:
        assert self.scale is not None
        self.scale -= steps
        self.changed += 1
        if self.size:
            merged = [coarsened(row, self.low, steps) for row in self.sums]
            self.sums = np.stack([counts for counts, _ in merged])
            self.low, self.size = merged[0][1], self.sums.shape[1]

    @property
    def cells(self) -> "Cells":
        """Where the cells lie now."""
        return Cells(self.scale, self.low, self.size)

    def moved(self, counts: Floats, before: "Cells") -> Floats:
        """Return counts of cells that lay elsewhere before, on the cells as they lie now."""
        offset = before.low
        if self.scale is not None and before.scale is not None and before.scale > self.scale:
            counts, offset = coarsened(counts, offset, before.scale - self.scale)
        out = np.zeros(self.size)
        out[offset - self.low : offset - self.low + counts.size] = counts
        return out

    def absorb(self, cells: Floats) -> None:
        """Take one window of the baseline into the smoothed counts."""
        self.seen += 1.0
        step = max(1.0 / self.seen, FORGET)
        recent = self.sums[0]
        recent += step * (cells - recent)

    def tails(self, cells: Floats) -> Floats:
        """Return the counts above each edge, by n - edge: index 0 is above everything; shape (size + 1,)."""
        out = np.zeros(cells.size + 1)
        cells[::-1].cumsum(out=out[1:])
        return out

    def edges_at(self, tails: Floats, shares: Floats) -> list[int]:
        """Return the edge whose upper tail is nearest each share of the total (as `tails` counts them)."""
        wanted = shares * tails[-1]
        edges = []
        for count, found in zip(wanted.tolist(), tails.searchsorted(wanted).tolist(), strict=True):
            above = min(max(found, 1), self.size)
            nearer = count - float(tails[above - 1]) < float(tails[above]) - count
            edges.append(max(self.size - above + nearer, 0))
        return edges

    def log_edge(self, edge: int) -> float:
        """Return ln of the value at an edge (frame index); -inf at or below zero."""
        if self.scale is not None:
            return (self.low + edge) * math.ldexp(_LN2, -self.scale)
        if edge <= 0:
            return -math.inf
        value = self.bounds[min(edge - 1, len(self.bounds) - 1)]
        return math.log(value) if value > 0 else -math.inf

    def steps_for(self, edge: int, degradation: float) -> int:
        """Return k >= 1: how many edges up the degradation is; on explicit bounds the nearest existing edge."""
        if self.scale is not None:
            step = math.log(2.0) * 2.0**-self.scale
            return max(round(math.log1p(degradation) / step), 1)
        target = self.log_edge(edge) + math.log1p(degradation)
        steps = range(1, max(self.size - edge, 2))
        return min(steps, key=lambda k: abs(self.log_edge(edge + k) - target))

    def quantile(self, tails: Floats, q: float) -> float | None:
        """Return the value at quantile q by geometric interpolation within its bucket; None without data."""
        return self.quantiles((tails,), q)[0]

    def quantiles(self, rows: Iterable[Floats], q: float) -> list[float | None]:
        """Return the value at quantile q of each row of tails."""
        size, found = self.size, list[float | None]()
        step = 0.0 if self.scale is None else math.ldexp(_LN2, -self.scale)
        for tails in rows:
            wanted = (1.0 - q) * tails.item(-1)
            index = min(max(int(tails.searchsorted(wanted)), 1), size)
            beyond, here = tails[index - 1 : index + 1].tolist()
            part = (wanted - beyond) / (here - beyond) if here > beyond else 0.0
            edge = size - index
            if not wanted > 0:
                found.append(None)
            elif self.scale is not None:
                found.append(math.exp((self.low + edge + 1 - part) * step))
            else:
                low, high = self.log_edge(edge), self.log_edge(edge + 1)
                found.append(math.exp(high - part * (high - low) if math.isfinite(low) else high))
        return found

    def middles(self) -> Floats:
        """Return a representative value of each cell (geometric middle)."""
        logs = np.array([self.log_edge(edge) for edge in range(self.size + 1)])
        with np.errstate(over="ignore"):
            out: Floats = np.exp(0.5 * (logs[:-1] + logs[1:]))
        return out

    def to_doc(self) -> dict[str, object]:
        """Return scalars of the frame; the counts travel as an array."""
        return {"scale": self.scale, "bounds": list(self.bounds), "low": self.low, "seen": self.seen}

    def restore(self, doc: dict[str, object], sums: Floats) -> None:
        """Continue from a frame's scalars and counts."""
        scale, bounds, low, seen = doc["scale"], doc["bounds"], doc["low"], doc["seen"]
        assert scale is None or isinstance(scale, int)
        assert isinstance(bounds, list)
        assert isinstance(low, int)
        assert isinstance(seen, (int, float))
        self.scale, self.bounds = scale, tuple(float(b) for b in bounds)
        self.low, self.seen = low, float(seen)
        self.sums, self.size = sums[:_ROWS].copy(), int(sums.shape[1])
        self.changed += 1


def shares(values: Sequence[float]) -> Floats:
    """Return an array of tail shares."""
    return np.array(values, dtype=np.float64)
