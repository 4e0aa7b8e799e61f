"""Error-budget burn of the canary alone over the standard pairs of spans: it holds, and proves nothing more."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from services.gate_evaluation.judge.bank import Bank
from services.gate_evaluation.judge.codec import pack, unpack
from services.gate_evaluation.judge.dispersion import Residual
from services.gate_evaluation.judge.measures import Cohort, Ratio
from services.gate_evaluation.judge.parts import Context, Part
from services.gate_evaluation.judge.reading import Description, Reading
from services.gate_evaluation.judge.spec import GateSpec, Margin
from services.gate_evaluation.judge.verdict import NoData


class Pair(NamedTuple):
    """Burn faster than `factor` over a long and a short span (seconds)."""

    factor: float
    long: float
    short: float


PAIRS = (Pair(14.4, 3600, 300), Pair(6, 21600, 1800), Pair(1, 259200, 21600))
_FINE, _COARSE = 30.0, 300.0
_FINE_KEPT, _COARSE_KEPT = 10, 864
_MONTH = 30 * 86400.0
_SPENDING = math.log(math.pi**2 / 6.0 * len(PAIRS))
_LIMIT = math.log(1000.0)


class Spans:
    """Events and totals of the last five minutes in half minutes, and of the last three days in five minutes."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.fine: list[list[float]] = []
        self.coarse: list[list[float]] = []
        self.clock = 0.0

    def add(self, events: float, total: float) -> None:
        """Take one window."""
        for kept, grain, most in ((self.fine, _FINE, _FINE_KEPT), (self.coarse, _COARSE, _COARSE_KEPT)):
            width = max(grain, self.seconds)
            if not kept or int(self.clock // width) != int((self.clock - self.seconds) // width):
                kept.append([0.0, 0.0])
                del kept[: -max(int(most * grain / width), 1)]
            kept[-1][0] += events
            kept[-1][1] += total
        self.clock += self.seconds

    def over(self, span: float) -> tuple[float, float]:
        """Return events and total of the last `span` seconds (as far as they go back)."""
        fine = span <= _FINE * _FINE_KEPT
        kept, width = (self.fine, max(_FINE, self.seconds)) if fine else (self.coarse, max(_COARSE, self.seconds))
        last = kept[-max(round(span / width), 1) :]
        return sum(item[0] for item in last), sum(item[1] for item in last)


def excess(events: float, total: float, rate: float) -> float:
    """Return the nats by which a rate above `rate` is certain (a Chernoff bound), 0 when it is not above."""
    if total <= 0 or events <= rate * total:
        return 0.0
    if rate >= 1.0:
        return 0.0
    p = min(events / total, 1.0)
    rest = (1.0 - p) * math.log((1.0 - p) / (1.0 - rate)) if p < 1 else 0.0
    return total * (p * math.log(p / rate) + rest)


class BurnComparison:
    """State of one burn-rate gate: a union bound over looks and pairs at 0.001, so it may be read at any time."""

    prior_sds: tuple[float, ...] = ()

    def __init__(self, gate: GateSpec, first_lane: int, seconds: float) -> None:
        assert gate.objective is not None
        self.gate = gate
        self.fail_margin = gate.fail_at
        self.index = first_lane
        self.budget = 1.0 - gate.objective
        # The factors spend 2 %, 5 % and 10 % of a budget of thirty days over their long spans.
        self.pairs = tuple(pair._replace(factor=pair.factor * gate.period / _MONTH) for pair in PAIRS)
        self.spans = Spans(seconds)
        self.looks = 0

    def relax(self, margin: Margin) -> None:
        """Test F against another degradation than the plan's tolerance."""
        self.fail_margin = margin

    def anchor(self) -> list[float]:
        """Return nothing."""
        return []

    def parts(self, context: Context, anchor: Sequence[float]) -> list[Part]:
        """Return no rows: the evidence is not a product over windows."""
        return []

    def bind(self, bank: Bank, rows: list[tuple[int, Part]]) -> None:
        """Do nothing."""

    def learn(self, a: Cohort, b: Cohort) -> list[Residual | None]:
        """Return nothing: it has no lane."""
        return []

    def absorb_pair(self, a: Cohort, b: Cohort) -> None:
        """Do nothing: only the canary's own budget counts."""

    def read(self, bank: Bank, canary: Cohort, baseline: Cohort) -> Reading:
        """Take the canary's window and return the evidence that some pair burns too fast."""
        measure = canary.measures.get(self.gate.metric)
        if not isinstance(measure, Ratio):
            return Reading(NoData.TELEMETRY_OUTAGE)
        if measure.total <= 0:
            return Reading(NoData.NO_TRAFFIC)
        self.spans.add(measure.events, measure.total)
        self.looks += 1
        best = max(self._certain(pair) for pair in self.pairs)
        beyond = best - _SPENDING - 2.0 * math.log(self.looks) - _LIMIT
        return Reading(None, (), {"canary": measure.events, "canary_total": measure.total}, beyond=beyond)

    def _certain(self, pair: Pair) -> float:
        if self.spans.clock < pair.short:
            return 0.0
        spans = (self.spans.over(pair.long), self.spans.over(pair.short))
        return min(excess(*counts, pair.factor * self.budget) for counts in spans)

    def absorb(self, canary: Cohort, baseline: Cohort, *, judged: bool) -> None:
        """Do nothing: `read` has taken the window."""

    def describe(self, bank: Bank) -> Description:
        """Return the burn over each span as detail."""
        detail = {}
        for pair in PAIRS:
            for span in (pair.long, pair.short):
                events, total = self.spans.over(span)
                detail[f"burn_{int(span)}s"] = events / total / self.budget if total > 0 else 0.0
        events, total = self.spans.over(PAIRS[0].long)
        return Description(canary=events / total if total > 0 else None, baseline=self.budget, detail=detail)

    def log_nulls(self) -> None:
        """Return None: there is no ratio to bound."""

    def volumes(self) -> tuple[float, ...]:
        """Return nothing: it has no lane."""
        return ()

    def to_doc(self) -> dict[str, object]:
        """Return the state between windows."""
        kept = {name: pack(np.array(item).reshape(-1, 2)) for name, item in self._kept().items()}
        return {**kept, "clock": self.spans.clock, "looks": self.looks}

    def _kept(self) -> dict[str, list[list[float]]]:
        return {"fine": self.spans.fine, "coarse": self.spans.coarse}

    def restore(self, doc: dict[str, object]) -> None:
        """Continue from `to_doc`."""
        fine, coarse, clock, looks = doc["fine"], doc["coarse"], doc["clock"], doc["looks"]
        assert isinstance(fine, dict)
        assert isinstance(coarse, dict)
        assert isinstance(clock, (int, float))
        assert isinstance(looks, int)
        self.spans.fine, self.spans.coarse = unpack(fine).tolist(), unpack(coarse).tolist()
        self.spans.clock, self.looks = clock, looks
