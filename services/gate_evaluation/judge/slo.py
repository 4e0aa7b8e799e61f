"""Absolute objectives: the canary alone against a budget, a rate or a latency at a quantile, as a one-sample test."""

import math
from collections.abc import Sequence

from services.gate_evaluation.judge import grids
from services.gate_evaluation.judge.bank import Bank, Form, Row
from services.gate_evaluation.judge.dispersion import Residual
from services.gate_evaluation.judge.lane import FORGET
from services.gate_evaluation.judge.measures import Cohort, ExplicitHistogram, ExponentialHistogram, Ratio
from services.gate_evaluation.judge.parts import Context, Part, Role, even
from services.gate_evaluation.judge.reading import Description, Reading
from services.gate_evaluation.judge.spec import GateSpec, Margin
from services.gate_evaluation.judge.verdict import NoData

_UP = (0.1, 0.2, 0.4, 0.7, 1.1, 1.6)
_DOWN = (-0.1, -0.3, -0.7, -1.5)


def above(histogram: ExponentialHistogram | ExplicitHistogram, limit: float) -> float:
    """Return how many values certainly lie above `limit`: those in buckets that begin at or beyond it."""
    if isinstance(histogram, ExplicitHistogram):
        return float(sum(c for low, c in zip(histogram.bounds, histogram.counts[1:], strict=True) if low >= limit))
    first = math.ceil(math.log2(limit) * 2.0**histogram.scale - 1e-9)
    return float(sum(histogram.counts[max(first - histogram.offset, 0) :]))


class SloComparison:
    """State of one SLO gate."""

    prior_sds = (0.05,)

    def __init__(self, gate: GateSpec, first_lane: int) -> None:
        assert gate.slo_max is not None
        self.gate = gate
        self.fail_margin = gate.fail_at
        self.index = first_lane
        self.limit = gate.slo_max
        self.budget = 1.0 - gate.q if gate.q is not None else min(gate.slo_max, 0.999)
        self.events = self.total = 0.0
        self._rows: dict[Role, int] = {}

    def relax(self, margin: Margin) -> None:
        """Test F against another degradation than the plan's tolerance."""
        self.fail_margin = margin

    def anchor(self) -> list[float]:
        """Return nothing: the budget places the rows."""
        return []

    def parts(self, context: Context, anchor: Sequence[float]) -> list[Part]:
        """Return one row of each side."""
        cap = grids.cap_of(len(_UP), context.share)
        fail = Row(self.index, Form.BERNOULLI, _UP, even(len(_UP)), onset=True, cap=cap)
        passing = Row(self.index, Form.BERNOULLI, _DOWN, even(len(_DOWN)), plain=True)
        return [Part(Role.F, fail), Part(Role.P, passing)]

    def bind(self, bank: Bank, rows: list[tuple[int, Part]]) -> None:
        """Remember where the rows lie."""
        self._rows = {part.role: i for i, part in rows}

    def _null(self, role: Role) -> float:
        margin = self.fail_margin if role is Role.F else self.gate.pass_at
        return min(max(self.budget * (1.0 + margin.relative), self.budget + margin.absolute), 0.999)

    def _count(self, cohort: Cohort) -> tuple[float, float] | None:
        measure = cohort.measures.get(self.gate.metric)
        if isinstance(measure, Ratio) and self.gate.q is None:
            return measure.events, measure.total
        if isinstance(measure, (ExponentialHistogram, ExplicitHistogram)) and self.gate.q is not None:
            return above(measure, self.limit), measure.count
        return None

    def learn(self, a: Cohort, b: Cohort) -> list[Residual | None]:
        """Return nothing: two halves of a fleet say nothing about a budget."""
        return [None]

    def absorb_pair(self, a: Cohort, b: Cohort) -> None:
        """Do nothing."""

    def read(self, bank: Bank, canary: Cohort, baseline: Cohort) -> Reading:
        """Write this window's counts of the canary into the bank."""
        found = self._count(canary)
        if found is None:
            return Reading(NoData.TELEMETRY_OUTAGE)
        if found[1] <= 0:
            return Reading(NoData.NO_TRAFFIC)
        for role, row in self._rows.items():
            at = row - bank.one_first
            bank.hits[at], bank.n[at] = found
            bank.q0[at] = self._null(role)
        return Reading(None, (None,), {"canary": found[0], "canary_total": found[1]})

    def absorb(self, canary: Cohort, baseline: Cohort, *, judged: bool) -> None:
        """Take the window into the running rate."""
        found = self._count(canary)
        if judged and found is not None:
            self.events = (1.0 - FORGET) * self.events + found[0]
            self.total = (1.0 - FORGET) * self.total + found[1]

    def describe(self, bank: Bank) -> Description:
        """Return the canary's rate of bad requests beside the budget."""
        rate = self.events / self.total if self.total > 0 else None
        detail = {"budget": self.budget, "limit": self.limit}
        gains = [0.0, 0.0]
        if rate is not None:
            n = float(bank.n[self._rows[Role.F] - bank.one_first])
            for side, role in enumerate((Role.F, Role.P)):
                null = self._null(role)
                if (rate > null) == (role is Role.F):
                    gains[side] = n * _divergence(rate, null)
        nulls = [self._null(role) / self.budget - 1.0 for role in (Role.F, Role.P)]
        return Description(rate, self.budget, nulls[0], nulls[1], gains[0], gains[1], detail)

    def log_nulls(self) -> None:
        """Return None: there is no ratio to bound."""

    def volumes(self) -> tuple[float, ...]:
        """Return nothing to compare, by lane."""
        return (0.0,)

    def to_doc(self) -> dict[str, object]:
        """Return the state between windows."""
        return {"sums": [self.events, self.total]}

    def restore(self, doc: dict[str, object]) -> None:
        """Continue from `to_doc`."""
        sums = doc["sums"]
        assert isinstance(sums, list)
        self.events, self.total = sums


def _divergence(p: float, q: float) -> float:
    """Return the nats that one trial of probability p yields against q."""
    first = p * math.log(p / q) if p > 0 else 0.0
    return first + ((1.0 - p) * math.log((1.0 - p) / (1.0 - q)) if p < 1 else 0.0)
