"""Where there is no control group: the whole service against its own past, by conformal p-values. It only advises."""

import math
from collections.abc import Sequence

from services.gate_evaluation.judge.evidence.e_processes import Bank
from services.gate_evaluation.judge.evidence.gate_rows import Context, Part
from services.gate_evaluation.judge.evidence.reading import Description, Reading
from services.gate_evaluation.judge.measures import Cohort, Measure, Window
from services.gate_evaluation.judge.noise.dispersion import Residual
from services.gate_evaluation.judge.series.forecast import FEWEST, Past
from services.gate_evaluation.judge.series.service_series import amount_of, log_of, measures_of, of_service, value_of
from services.gate_evaluation.judge.spec import Direction, GateSpec, Margin
from services.gate_evaluation.judge.verdict import NoData

_POWERS = (0.2, 0.4, 0.6)
_MOST = 20.0
ALARM = 2e4


def betting(p: float) -> float:
    """Return the e-value of a conformal p-value: large when it is small, at most 20."""
    mean: float = sum(k * p ** (k - 1.0) for k in _POWERS) / len(_POWERS)
    return min(mean, _MOST)


class OwnHistoryComparison:
    """State of one own-history gate: the service's past, and the running alarm of this rollout.

    It follows canary and baseline together, so that what is compared is the same service before and after, whatever
    the exposure: at a share of 5 % it sees little of a canary, at 100 % all of it.
    """

    prior_sds: tuple[float, ...] = ()

    def __init__(self, gate: GateSpec, first_lane: int) -> None:
        self.gate = gate
        self.fail_margin = gate.fail_at
        self.index = first_lane
        self.past = Past()
        self._window = (0.0, 0.0)
        self.begin()

    def begin(self) -> None:
        """Begin a rollout: the alarm is of this one, and once raised it stands."""
        self.alarm = self.peak = 0.0
        self.latest: float | None = None
        self.worst: tuple[float, float] | None = None

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

    def absorb_pair(self, a: Cohort, b: Cohort) -> None:
        """Do nothing: `follow` takes the windows between rollouts."""

    def tick(self, start: float, end: float) -> None:
        """Tell when the next window lies (seconds on one clock)."""
        self._window = (start, end)

    def follow(self, window: Window) -> None:
        """Take a window between rollouts into the past."""
        if self.gate.metric not in window.resets:
            value = log_of(value_of(of_service(window, self.gate.metric), self.gate.q))
            if value is not None:
                self._take(value, watching=False)

    def _take(self, value: float, *, watching: bool) -> None:
        for point, expected in self.past.take(*self._window, value):
            score = self._score(point - expected)
            p = self.past.rank(score) if watching else None
            if p is not None:
                self.alarm = min((self.alarm + 1.0) * betting(p), 1e200)
                self.peak = max(self.peak, self.alarm)
                if self.worst is None or score > self._score(self.worst[0] - self.worst[1]):
                    self.worst = (point, expected)
            self.past.keep(score)

    def _score(self, residual: float) -> float:
        match self.gate.bad:
            case Direction.UP:
                return residual
            case Direction.DOWN:
                return -residual
            case Direction.BOTH:
                return abs(residual)

    def read(self, bank: Bank, canary: Cohort, baseline: Cohort) -> Reading:
        """Take a window of the rollout and return the alarm as evidence."""
        found: list[Measure] = measures_of(self.gate.metric, canary, baseline)
        if not found:
            return Reading(NoData.TELEMETRY_OUTAGE)
        value = log_of(value_of(found, self.gate.q))
        if value is None:
            return Reading(NoData.TELEMETRY_OUTAGE if any(map(amount_of, found)) else NoData.NO_TRAFFIC)
        self.latest = value
        self._take(value, watching=True)
        if len(self.past.scores) < FEWEST:
            start, end = self._window
            return Reading(NoData.TOO_FEW_SAMPLES, needs=math.ceil(self.past.missing() / (end - start)))
        beyond = math.log(max(self.peak, 1e-300)) - math.log(ALARM)
        return Reading(None, (), {"points": float(len(self.past.scores))}, beyond=beyond)

    def absorb(self, canary: Cohort, baseline: Cohort, *, judged: bool) -> None:
        """Do nothing: `read` has taken the window."""

    def describe(self, bank: Bank) -> Description:
        """Return the latest value beside the one expected; once the alarm was raised, those of the furthest point.

        The recent median follows a step within the hour, so later values would look as if nothing had happened.
        """
        value, expected = self.latest, self.past.next
        if self.peak >= ALARM and self.worst is not None:
            value, expected = self.worst
        points = float(len(self.past.scores))
        return Description(
            canary=None if value is None else math.exp(value),
            baseline=None if expected is None else math.exp(expected),
            detail={"alarm": self.peak, "alarm_now": self.alarm, "alarm_limit": ALARM, "points": points},
        )

    def log_nulls(self) -> None:
        """Return None: there is no ratio to bound."""

    def volumes(self) -> tuple[float, ...]:
        """Return nothing: it has no lane."""
        return ()

    def to_doc(self) -> dict[str, object]:
        """Return the state between windows."""
        alarm = [self.alarm, self.peak]
        return {"past": self.past.to_doc(), "alarm": alarm, "latest": self.latest, "worst": self.worst}

    def restore(self, doc: dict[str, object]) -> None:
        """Continue from `to_doc`."""
        past, alarm, latest, worst = doc["past"], doc["alarm"], doc["latest"], doc["worst"]
        assert isinstance(past, dict)
        assert isinstance(alarm, list)
        assert latest is None or isinstance(latest, (int, float))
        assert worst is None or isinstance(worst, (list, tuple))
        self.past.restore(past)
        (self.alarm, self.peak), self.latest = alarm, latest
        self.worst = None if worst is None else (worst[0], worst[1])
