"""Error-budget burn rate of the canary alone, over the standard pairs of spans. It may hold, never roll back."""

import math
from collections.abc import Callable
from typing import NamedTuple

from services.gate_evaluation.judge.arrays import pack, unpack
from services.gate_evaluation.judge.evidence.reading import Description, Reading
from services.gate_evaluation.judge.measures import Cohort, Ratio
from services.gate_evaluation.judge.series.rolling_counts import RollingCounts, Span
from services.gate_evaluation.judge.spec import GateSpec
from services.gate_evaluation.judge.verdict import NoData


class Pair(NamedTuple):
    """Burn faster than `factor` over a long and a short span (seconds)."""

    factor: float
    long: float
    short: float


PAIRS = (Pair(14.4, 3600, 300), Pair(6, 21600, 1800), Pair(1, 259200, 21600))
_MONTH = 30 * 86400.0
_SPENDING = math.log(math.pi**2 / 6.0 * len(PAIRS))
_LIMIT = math.log(1000.0)
_HALVINGS = 30


def excess(events: float, total: float, rate: float) -> float:
    """Return the nats by which a rate above `rate` is certain (a Chernoff bound), 0 when it is not above."""
    if total <= 0 or events <= rate * total:
        return 0.0
    if rate >= 1.0:
        return 0.0
    p = min(events / total, 1.0)
    rest = (1.0 - p) * math.log((1.0 - p) / (1.0 - rate)) if p < 1 else 0.0
    return total * (p * math.log(p / rate) + rest)


def bounds(events: float, total: float, nats: float) -> tuple[float, float]:
    """Return the lowest and the highest rate that `nats` of certainty do not exclude."""
    rate = events / total
    low = _edge(lambda at: excess(events, total, at) >= nats, 0.0, rate)
    high = _edge(lambda at: excess(total - events, total, 1.0 - at) < nats, rate, 1.0)
    return low, high


def _edge(holds: Callable[[float], bool], low: float, high: float) -> float:
    """Return where `holds` changes from true at `low` to false at `high`."""
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if holds(middle) else (low, middle)
    return 0.5 * (low + high)


def certain_after(looks: int) -> float:
    """Return the nats that make a burn certain, of any pair and at any look up to this one."""
    return _SPENDING + 2.0 * math.log(max(looks, 1)) + _LIMIT


class BurnRateMonitor:
    """State of one burn-rate gate: a union bound over looks and pairs at 0.001, so it may be read at any time.

    RollingCounts are counted on the clock of the windows, which ingestion may have widened or stretched.
    """

    def __init__(self, gate: GateSpec) -> None:
        assert gate.objective is not None
        self.gate = gate
        self.budget = 1.0 - gate.objective
        # The factors spend 2 %, 5 % and 10 % of a budget of thirty days over their long spans.
        self.pairs = tuple(pair._replace(factor=pair.factor * gate.period / _MONTH) for pair in PAIRS)
        self.start_rollout()

    def start_rollout(self) -> None:
        """Begin a rollout: its canary has burnt nothing yet."""
        self.spans = RollingCounts()
        self.looks = 0
        self.born: float | None = None

    def observe(self, canary: Cohort, baseline: Cohort, span: Span) -> Reading:
        """Add the canary's window and return the evidence that some pair burns too fast."""
        measure = canary.measures.get(self.gate.metric)
        if not isinstance(measure, Ratio):
            return Reading(NoData.TELEMETRY_OUTAGE)
        if measure.total <= 0:
            return Reading(NoData.NO_TRAFFIC)
        self.born = span.start if self.born is None else self.born
        self.spans.add(*span, measure.events, measure.total)
        self.looks += 1
        beyond = max(self._certain(pair) for pair in self.pairs) - self._needed
        return Reading(None, (), {"canary": measure.events, "canary_total": measure.total}, beyond=beyond)

    @property
    def _needed(self) -> float:
        """Nats that make a burn certain now."""
        return certain_after(self.looks)

    def _certain(self, pair: Pair) -> float:
        if self.born is None or self.spans.now - self.born < pair.short - 1e-6:
            return 0.0
        spans = (self.spans.over(pair.long), self.spans.over(pair.short))
        return min(excess(*counts, pair.factor * self.budget) for counts in spans)

    def describe(self) -> Description:
        """Return the burn over each span as detail."""
        detail = {}
        for pair in PAIRS:
            for span in (pair.long, pair.short):
                events, total = self.spans.over(span)
                detail[f"burn_{int(span)}s"] = events / total / self.budget if total > 0 else 0.0
        detail["factor"] = self.pairs[0].factor
        pair = max(self.pairs, key=self._certain)
        deciding = (pair.factor - 1.0, self._burns_at_least(pair))
        events, total = self.spans.over(PAIRS[0].long)
        if not total > 0:
            return Description(baseline=self.budget, detail=detail)
        low, high = (bound / self.budget - 1.0 for bound in bounds(events, total, self._needed))
        return Description(
            events / total, self.budget, band=(low, high), detail=detail, deciding=deciding, error=math.exp(-_LIMIT)
        )

    def _burns_at_least(self, pair: Pair) -> float | None:
        """Return the least burn (relative to the budget) that is certain over both spans; None before it may decide."""
        if self.born is None or self.spans.now - self.born < pair.short - 1e-6:
            return None
        spans = (self.spans.over(pair.long), self.spans.over(pair.short))
        lows = [bounds(*counts, self._needed)[0] if counts[1] > 0 else 0.0 for counts in spans]
        # By bisection: the comparison that decided is kept.
        certain, line = self._certain(pair) >= self._needed, pair.factor * self.budget
        low = max(min(lows), line) if certain else min(*lows, line * (1.0 - 1e-9))
        return low / self.budget - 1.0

    def to_doc(self) -> dict[str, object]:
        """Return the state between windows."""
        return {
            "spans": [pack(array) for array in self.spans.arrays()],
            "now": self.spans.now,
            "born": self.born,
            "looks": self.looks,
        }

    def restore(self, doc: dict[str, object]) -> None:
        """Continue from `to_doc`."""
        spans, now, born, looks = doc["spans"], doc["now"], doc["born"], doc["looks"]
        assert isinstance(spans, list)
        assert isinstance(now, (int, float))
        assert born is None or isinstance(born, (int, float))
        assert isinstance(looks, int)
        self.spans.restore([unpack(array) for array in spans], now)
        self.born, self.looks = born, looks
