"""Compares the whole service with its own past, by conformal p-values, where there is no control. It only advises."""

import math

from services.gate_evaluation.judge.evidence.reading import Description, Reading
from services.gate_evaluation.judge.measures import Cohort, Measure, Window
from services.gate_evaluation.judge.series.forecast import FEWEST, Forecast
from services.gate_evaluation.judge.series.rolling_counts import Span
from services.gate_evaluation.judge.series.service_series import amount_of, log_of, measures_of, of_service, value_of
from services.gate_evaluation.judge.spec import Direction, GateSpec
from services.gate_evaluation.judge.verdict import NoData

_POWERS = (0.2, 0.4, 0.6)
_MOST = 20.0
ALARM = 2e4


def betting(p: float) -> float:
    """Return the e-value of a conformal p-value: large when it is small, at most 20."""
    mean: float = sum(k * p ** (k - 1.0) for k in _POWERS) / len(_POWERS)
    return min(mean, _MOST)


class OwnHistoryMonitor:
    """State of one own-history gate: the service's past, and the running alarm of this rollout.

    It follows canary and baseline together, so that what is compared is the same service before and after, whatever
    the exposure: at a share of 5 % it sees little of a canary, at 100 % all of it.
    """

    def __init__(self, gate: GateSpec) -> None:
        self.gate = gate
        self.forecast = Forecast()
        self.start_rollout()

    def start_rollout(self) -> None:
        """Begin a rollout: the alarm is of this one, and once raised it stands."""
        self.alarm = self.peak = 0.0
        self.latest: float | None = None
        self.worst: tuple[float, float] | None = None

    def follow(self, window: Window, span: Span) -> None:
        """Add a window between rollouts to the service's past."""
        if self.gate.metric not in window.resets:
            value = log_of(value_of(of_service(window, self.gate.metric), self.gate.q))
            if value is not None:
                self._add(value, span, watching=False)

    def _add(self, value: float, span: Span, *, watching: bool) -> None:
        for point, expected in self.forecast.add(*span, value):
            score = self._score(point - expected)
            p = self.forecast.rank(score) if watching else None
            if p is not None:
                self.alarm = min((self.alarm + 1.0) * betting(p), 1e200)
                self.peak = max(self.peak, self.alarm)
                if self.worst is None or score > self._score(self.worst[0] - self.worst[1]):
                    self.worst = (point, expected)
            self.forecast.keep(score)

    def _score(self, residual: float) -> float:
        match self.gate.bad:
            case Direction.UP:
                return residual
            case Direction.DOWN:
                return -residual
            case Direction.BOTH:
                return abs(residual)

    def observe(self, canary: Cohort, baseline: Cohort, span: Span) -> Reading:
        """Add a window of the rollout and return the alarm as evidence."""
        found: list[Measure] = measures_of(self.gate.metric, canary, baseline)
        if not found:
            return Reading(NoData.TELEMETRY_OUTAGE)
        value = log_of(value_of(found, self.gate.q))
        if value is None:
            return Reading(NoData.TELEMETRY_OUTAGE if any(map(amount_of, found)) else NoData.NO_TRAFFIC)
        self.latest = value
        self._add(value, span, watching=True)
        if len(self.forecast.scores) < FEWEST:
            needed = math.ceil(self.forecast.missing() / (span.end - span.start))
            return Reading(NoData.TOO_FEW_SAMPLES, needs=needed)
        beyond = math.log(max(self.peak, 1e-300)) - math.log(ALARM)
        return Reading(None, (), {"points": float(len(self.forecast.scores))}, beyond=beyond)

    def describe(self) -> Description:
        """Return the latest value beside the one expected; once the alarm was raised, those of the furthest point.

        The recent median follows a step within the hour, so later values would look as if nothing had happened.
        """
        value, expected = self.latest, self.forecast.next
        if self.peak >= ALARM and self.worst is not None:
            value, expected = self.worst
        points = float(len(self.forecast.scores))
        return Description(
            canary=None if value is None else math.exp(value),
            baseline=None if expected is None else math.exp(expected),
            detail={"alarm": self.peak, "alarm_now": self.alarm, "alarm_limit": ALARM, "points": points},
        )

    def to_doc(self) -> dict[str, object]:
        """Return the state between windows."""
        alarm = [self.alarm, self.peak]
        return {"past": self.forecast.to_doc(), "alarm": alarm, "latest": self.latest, "worst": self.worst}

    def restore(self, doc: dict[str, object]) -> None:
        """Continue from `to_doc`."""
        past, alarm, latest, worst = doc["past"], doc["alarm"], doc["latest"], doc["worst"]
        assert isinstance(past, dict)
        assert isinstance(alarm, list)
        assert latest is None or isinstance(latest, (int, float))
        assert worst is None or isinstance(worst, (list, tuple))
        self.forecast.restore(past)
        (self.alarm, self.peak), self.latest = alarm, latest
        self.worst = None if worst is None else (worst[0], worst[1])
