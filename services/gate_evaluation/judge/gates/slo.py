"""Absolute objectives: one-sample tests of the canary against a rate, or against a latency at a quantile."""

import math
from collections.abc import Sequence

from services.gate_evaluation.judge.evidence import mixtures
from services.gate_evaluation.judge.evidence.e_processes import EProcesses, Form, Row
from services.gate_evaluation.judge.evidence.gate_rows import Context, GateRow, Role, even, interval_rows, ladder
from services.gate_evaluation.judge.evidence.rate_state import FORGET
from services.gate_evaluation.judge.evidence.reading import Description, Reading
from services.gate_evaluation.judge.evidence.weighted_totals import WeightedTotals
from services.gate_evaluation.judge.measures import Cohort, ExplicitHistogram, ExponentialHistogram, Ratio
from services.gate_evaluation.judge.spec import GateSpec, Margin
from services.gate_evaluation.judge.verdict import NoData

_UP = (0.1, 0.2, 0.4, 0.7, 1.1, 1.6)
_DOWN = (-0.1, -0.3, -0.7, -1.5)
_FEW = (0.05, 0.15, 0.4, 1.0, 2.0)
_MOST = 0.999
Histogram = ExponentialHistogram | ExplicitHistogram


def above(histogram: Histogram, limit: float) -> tuple[float, float]:
    """Return how many values certainly lie above `limit`, and how many may: those of the bucket that it cuts join."""
    if isinstance(histogram, ExplicitHistogram):
        lows = (-math.inf, *histogram.bounds)
        highs = (*histogram.bounds, math.inf)
        certain = sum(c for low, c in zip(lows, histogram.counts, strict=True) if low >= limit)
        return float(certain), float(sum(c for high, c in zip(highs, histogram.counts, strict=True) if high > limit))
    place = math.log2(limit) * 2.0**histogram.scale
    first, cut = math.ceil(place - _EPS) - histogram.offset, math.floor(place + _EPS) - histogram.offset
    return float(sum(histogram.counts[max(first, 0) :])), float(sum(histogram.counts[max(cut, 0) :]))


def edges_around(histogram: Histogram, limit: float) -> tuple[float, float]:
    """Return the edges between which values may lie on either side of `limit`; both are it where it is an edge."""
    if isinstance(histogram, ExplicitHistogram):
        below = [bound for bound in histogram.bounds if bound <= limit]
        beyond = [bound for bound in histogram.bounds if bound >= limit]
        return (max(below) if below else 0.0), (min(beyond) if beyond else math.inf)
    place, step = math.log2(limit) * 2.0**histogram.scale, 2.0**-histogram.scale
    return 2.0 ** (math.floor(place + _EPS) * step), 2.0 ** (math.ceil(place - _EPS) * step)


_EPS = 1e-9


class SloComparison:
    """State of one SLO gate.

    A latency objective is read from buckets, which may be cut by its limit: F counts what certainly lies above, P
    all that may, so neither says more than is known.
    """

    prior_sds = (0.05,)

    def __init__(self, gate: GateSpec, first_channel: int) -> None:
        assert gate.slo_max is not None
        self.gate = gate
        self.fail_margin = gate.fail_at
        self.index = first_channel
        self.limit = gate.slo_max
        self.budget = 1.0 - gate.q if gate.q is not None else min(gate.slo_max, _MOST)
        self._rows: dict[Role, int] = {}
        self._band: list[int] = []
        self._nulls: list[float] = []
        self._edges: tuple[float, float] | None = None
        self.start_rollout()

    def start_rollout(self) -> None:
        """Begin a rollout: nothing is known of its canary."""
        self.events = self.total = 0.0
        self.whole = WeightedTotals()

    def set_tolerance(self, margin: Margin) -> None:
        """Test F against another degradation than the plan's tolerance."""
        self.fail_margin = margin

    def anchor(self) -> list[float]:
        """Return an empty anchor: the budget alone places the rows."""
        return []

    def rows(self, context: Context, anchor: Sequence[float]) -> list[GateRow]:
        """Return one row of each side, and those of the displayed interval."""
        cap = mixtures.cap_of(len(_UP), context.share)
        fail = Row(self.index, Form.BERNOULLI, _UP, even(len(_UP)), onset=True, cap=cap)
        passing = Row(self.index, Form.BERNOULLI, _DOWN, even(len(_DOWN)), plain=True)
        found = [GateRow(Role.F, fail), GateRow(Role.P, passing)]
        if context.interval:
            most = math.log(_MOST / self.budget)
            nulls = [min(null, most) for null in ladder(0.04, 4.0, 8)]
            found += interval_rows(self.index, Form.BERNOULLI, _FEW, nulls)
        return found

    def bind(self, processes: EProcesses, rows: list[tuple[int, GateRow]]) -> None:
        """Remember where the rows lie."""
        self._rows = {part.role: i for i, part in rows if part.role in (Role.F, Role.P)}
        band = [(i, part.row.log_t0) for i, part in rows if part.role in (Role.LOW, Role.HIGH)]
        self._band = [i - processes.one_first for i, _ in band]
        self._nulls = [min(self.budget * math.exp(null), _MOST) for _, null in band]

    def _null(self, role: Role) -> float:
        margin = self.fail_margin if role is Role.F else self.gate.pass_at
        return min(max(self.budget * (1.0 + margin.relative), self.budget + margin.absolute), _MOST)

    def _count(self, cohort: Cohort) -> tuple[float, float, float] | None:
        """Return the bad events that are certain, those that may be, and the total."""
        measure = cohort.measures.get(self.gate.metric)
        if isinstance(measure, Ratio) and self.gate.q is None:
            return measure.events, measure.events, measure.total
        if isinstance(measure, Histogram) and self.gate.q is not None:
            self._edges = edges_around(measure, self.limit)
            return *above(measure, self.limit), measure.count
        return None

    def read(self, processes: EProcesses, canary: Cohort, baseline: Cohort) -> Reading:
        """Write this window's counts of the canary into the e-processes."""
        found = self._count(canary)
        if found is None:
            return Reading(NoData.TELEMETRY_OUTAGE)
        certain, possible, total = found
        if total <= 0:
            return Reading(NoData.NO_TRAFFIC)
        for role, row in self._rows.items():
            at = row - processes.one_first
            processes.hits[at], processes.n[at] = certain if role is Role.F else possible, total
            processes.q0[at] = self._null(role)
        # Rows of the band alternate: what is rejected from above counts the certain, what from below the possible.
        processes.hits[self._band[::2]], processes.hits[self._band[1::2]] = certain, possible
        processes.n[self._band], processes.q0[self._band] = total, self._nulls
        return Reading(None, (None,), {"canary": certain, "canary_total": total, "canary_possible": possible})

    def absorb(self, canary: Cohort, baseline: Cohort, *, judged: bool) -> None:
        """Take the window into the running rate."""
        found = self._count(canary)
        if judged and found is not None and found[2] > 0:
            self.events = (1.0 - FORGET) * self.events + found[0]
            self.total = (1.0 - FORGET) * self.total + found[2]
            self.whole.add(found[0] / found[2], self.budget, found[2])

    def describe(self, processes: EProcesses) -> Description:
        """Return the canary's rate of bad requests beside the budget."""
        rate = self.events / self.total if self.total > 0 else None
        detail = {"budget": self.budget, "limit": self.limit}
        if self._edges is not None:
            detail["edge_low"], detail["edge_high"] = self._edges
        gains = [0.0, 0.0]
        if rate is not None:
            n = float(processes.n[self._rows[Role.F] - processes.one_first])
            for side, role in enumerate((Role.F, Role.P)):
                null = self._null(role)
                if (rate > null) == (role is Role.F):
                    gains[side] = n * _divergence(rate, null)
        nulls = [self._null(role) / self.budget - 1.0 for role in (Role.F, Role.P)]
        return Description(rate, self.budget, nulls[0], nulls[1], gains[0], gains[1], detail, whole=self.whole.pair)

    def to_doc(self) -> dict[str, object]:
        """Return the state between windows."""
        return {"sums": [self.events, self.total, *self.whole.to_list()]}

    def restore(self, doc: dict[str, object]) -> None:
        """Continue from `to_doc`."""
        sums = doc["sums"]
        assert isinstance(sums, list)
        self.events, self.total = sums[:2]
        self.whole = WeightedTotals(*sums[2:])


def _divergence(p: float, q: float) -> float:
    """Return the nats that one trial of probability p yields against q."""
    first = p * math.log(p / q) if p > 0 else 0.0
    return first + ((1.0 - p) * math.log((1.0 - p) / (1.0 - q)) if p < 1 else 0.0)
