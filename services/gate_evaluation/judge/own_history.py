"""Where there is no control group: a metric against its own past, by conformal p-values. Advisory: it can hold."""

import math
from bisect import bisect_left
from collections.abc import Sequence
from statistics import median

import numpy as np

from services.gate_evaluation.judge.bank import Bank
from services.gate_evaluation.judge.codec import pack, unpack
from services.gate_evaluation.judge.dispersion import Residual
from services.gate_evaluation.judge.histograms import Frame
from services.gate_evaluation.judge.measures import (
    Cohort,
    Count,
    ExplicitHistogram,
    ExponentialHistogram,
    Gauge,
    Measure,
    Ratio,
)
from services.gate_evaluation.judge.parts import Context, Part
from services.gate_evaluation.judge.reading import Description, Reading
from services.gate_evaluation.judge.spec import Direction, GateSpec, Margin
from services.gate_evaluation.judge.verdict import NoData

_POINT_S = 300.0
_RECENT = 12
_DAY_POINTS = 288
_KEPT = 864
_FEWEST = 48
_POWERS = (0.2, 0.4, 0.6)
_MOST = 20.0
_ALARM = math.log(2e4)


def value_of(measure: Measure | None, q: float) -> float | None:
    """Return the one number to follow: a rate, a mean, or the quantile q of a histogram; None where there is none."""
    match measure:
        case Ratio(events=events, total=total):
            return (events + 0.5) / (total + 1.0) if total > 0 else None
        case Count(value=value, exposure=exposure):
            return (value + 0.5) / exposure if exposure > 0 else None
        case Gauge(count=count, sum=total):
            return total / count if count > 0 and total > 0 else None
        case ExponentialHistogram() | ExplicitHistogram():
            frame = Frame()
            return frame.quantile(frame.tails(frame.place(measure)), q)
        case None:
            return None


def betting(p: float) -> float:
    """Return the e-value of a conformal p-value: large when it is small, at most 20."""
    mean: float = sum(k * p ** (k - 1.0) for k in _POWERS) / len(_POWERS)
    return min(mean, _MOST)


class OwnHistoryComparison:
    """State of one own-history gate: points of five minutes, three days of residuals, and the running alarm."""

    prior_sds: tuple[float, ...] = ()

    def __init__(self, gate: GateSpec, first_lane: int, seconds: float) -> None:
        self.gate = gate
        self.fail_margin = gate.fail_at
        self.index = first_lane
        self._per_point = max(round(_POINT_S / seconds), 1)
        self._gathering: list[float] = []
        self.points: list[float] = []
        self.scores: list[float] = []
        self.alarm = 0.0
        self.latest: float | None = None

    def relax(self, margin: Margin) -> None:
        """Test F against another degradation than the plan's tolerance."""
        self.fail_margin = margin

    def anchor(self) -> list[float]:
        """Return nothing."""
        return []

    def parts(self, context: Context, anchor: Sequence[float]) -> list[Part]:
        """Return no rows: the evidence is not a comparison of cohorts."""
        return []

    def bind(self, bank: Bank, rows: list[tuple[int, Part]]) -> None:
        """Do nothing."""

    def learn(self, a: Cohort, b: Cohort) -> list[Residual | None]:
        """Return nothing: it has no lane."""
        return []

    def _value(self, cohort: Cohort) -> float | None:
        value = value_of(cohort.measures.get(self.gate.metric), self.gate.q or 0.99)
        return math.log(value) if value is not None and value > 0 else None

    def absorb_pair(self, a: Cohort, b: Cohort) -> None:
        """Take a window of the stable fleet into the past."""
        found = [value for value in (self._value(a), self._value(b)) if value is not None]
        if found:
            self._gather(sum(found) / len(found), watching=False)

    def _expected(self) -> float | None:
        """Return what the next point should be: the recent median, moved as the same time moved yesterday."""
        if len(self.points) < _RECENT:
            return None
        level = median(self.points[-_RECENT:])
        if len(self.points) < _DAY_POINTS + _RECENT:
            return level
        yesterday = self.points[-_DAY_POINTS]
        before = median(self.points[-_DAY_POINTS - _RECENT : -_DAY_POINTS])
        return level + 0.5 * (yesterday - before)

    def _gather(self, value: float, *, watching: bool) -> None:
        self._gathering.append(value)
        if len(self._gathering) < self._per_point:
            return
        point = sum(self._gathering) / len(self._gathering)
        self._gathering = []
        expected = self._expected()
        if expected is not None:
            self._score(point - expected, watching=watching)
        self.points = [*self.points, point][-(_DAY_POINTS + _RECENT + 1) :]

    def _score(self, residual: float, *, watching: bool) -> None:
        match self.gate.bad:
            case Direction.UP:
                score = residual
            case Direction.DOWN:
                score = -residual
            case Direction.BOTH:
                score = abs(residual)
        ranked = sorted(self.scores)
        if watching and len(ranked) >= _FEWEST:
            p = (1.0 + len(ranked) - bisect_left(ranked, score)) / (len(ranked) + 1.0)
            self.alarm = min((self.alarm + 1.0) * betting(p), 1e200)
        self.scores = [*self.scores, score][-_KEPT:]

    def read(self, bank: Bank, canary: Cohort, baseline: Cohort) -> Reading:
        """Take the canary's window (at 100 % it is the whole service) and return the alarm as evidence."""
        value = self._value(canary)
        if value is None:
            return Reading(NoData.TELEMETRY_OUTAGE)
        self.latest = value
        self._gather(value, watching=True)
        if len(self.scores) < _FEWEST:
            return Reading(NoData.TOO_FEW_SAMPLES)
        limit = math.log(max(self.alarm, 1e-300)) - _ALARM
        counts = {"points": float(len(self.scores))}
        return Reading(None, (), counts, beyond=limit)

    def absorb(self, canary: Cohort, baseline: Cohort, *, judged: bool) -> None:
        """Do nothing: `read` has taken the window."""

    def describe(self, bank: Bank) -> Description:
        """Return the latest value beside the one expected."""
        expected = self._expected()
        return Description(
            canary=None if self.latest is None else math.exp(self.latest),
            baseline=None if expected is None else math.exp(expected),
            detail={"alarm": self.alarm, "points": float(len(self.scores))},
        )

    def log_nulls(self) -> None:
        """Return None: there is no ratio to bound."""

    def volumes(self) -> tuple[float, ...]:
        """Return nothing: it has no lane."""
        return ()

    def to_doc(self) -> dict[str, object]:
        """Return the state between windows."""
        return {
            "gathering": self._gathering,
            "points": pack(np.array(self.points)),
            "scores": pack(np.array(self.scores)),
            "alarm": self.alarm,
            "latest": self.latest,
        }

    def restore(self, doc: dict[str, object]) -> None:
        """Continue from `to_doc`."""
        gathering, points, scores = doc["gathering"], doc["points"], doc["scores"]
        assert isinstance(gathering, list)
        assert isinstance(points, dict)
        assert isinstance(scores, dict)
        self._gathering = list(gathering)
        self.points, self.scores = unpack(points).tolist(), unpack(scores).tolist()
        alarm, latest = doc["alarm"], doc["latest"]
        assert isinstance(alarm, (int, float))
        assert latest is None or isinstance(latest, (int, float))
        self.alarm, self.latest = alarm, latest
