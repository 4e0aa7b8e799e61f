"""Heavy-tailed means: the mean of values capped near p99.5, and separately the count of the tail beyond it."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from services.gate_evaluation.judge.arrays import Floats
from services.gate_evaluation.judge.evidence import mixtures
from services.gate_evaluation.judge.evidence.e_processes import EProcesses, Form, Row
from services.gate_evaluation.judge.evidence.gate_rows import Context, GateRow, Role, even, interval_rows, ladder
from services.gate_evaluation.judge.evidence.reading import Description, Reading
from services.gate_evaluation.judge.evidence.weighted_totals import WeightedTotals, shifted
from services.gate_evaluation.judge.gates.counts import degradation
from services.gate_evaluation.judge.gates.quantile import QuantileComparison
from services.gate_evaluation.judge.measures import Cohort
from services.gate_evaluation.judge.noise.dispersion import Residual
from services.gate_evaluation.judge.series.tails import TailSource
from services.gate_evaluation.judge.spec import GateKind, GateSpec, Margin
from services.gate_evaluation.judge.verdict import NoData
from services.gate_evaluation.judge.versions import CURRENT, Parameters

_CAP_AT = 0.995
_FEW = (0.06, 0.2, 0.6, 1.5, 4.0)


class MeanComparison:
    """State of one mean gate: a Gaussian channel for the capped mean, a quantile comparison for the tail beyond it."""

    prior_sds = (0.05, 0.05)

    def __init__(
        self, gate: GateSpec, first_channel: int, source: TailSource, parameters: Parameters = CURRENT
    ) -> None:
        self.gate = gate
        self.fail_margin = gate.fail_at
        self.index = first_channel
        self.source = source
        tail = replace(gate, kind=GateKind.QUANTILE, q=_CAP_AT)
        self.tail = QuantileComparison(tail, first_channel + 1, source, parameters)
        self._values: tuple[object, Floats] = ((), np.zeros(0))
        self._window = (0.0, 1.0)
        self.whole = WeightedTotals()

    def start_rollout(self) -> None:
        """Begin a rollout: nothing is known of its canary."""
        self.tail.start_rollout()
        self.whole = WeightedTotals()

    def set_tolerance(self, margin: Margin) -> None:
        """Test F against another degradation than the plan's tolerance."""
        self.fail_margin = margin
        self.tail.set_tolerance(margin)

    def anchor(self) -> list[float]:
        """Return what places the rows of the tail; shifts of the mean are standardised."""
        return self.tail.anchor()

    def rows(self, context: Context, anchor: Sequence[float]) -> list[GateRow]:
        """Return the rows of the capped mean, then those of the tail; either may carry a breach, both must pass."""
        cap = mixtures.cap_of(len(mixtures.GAUGE_POINTS), context.share)
        points = tuple(mixtures.GAUGE_POINTS)
        fail = Row(self.index, Form.GAUSS, points, even(len(points)), onset=True, cap=cap, standard=True)
        backs = mixtures.pass_effects(self.gate.pass_at.relative or 0.15, mixtures.PASS_GAUGE)
        passing = Row(self.index, Form.GAUSS, tuple(backs), even(len(backs)))
        found = [GateRow(Role.F, fail, 0.5), GateRow(Role.P, passing)]
        if context.interval:
            found += interval_rows(self.index, Form.GAUSS, _FEW, ladder(0.004, 1.6, 8))
        for part in self.tail.rows(replace(context, interval=False), anchor):
            weight = part.weight * 0.5 if part.role is Role.F else part.weight
            found.append(replace(part, weight=weight, group=part.group + 1))
        return found

    def bind(self, processes: EProcesses, rows: list[tuple[int, GateRow]]) -> None:
        """Remember where the rows of both halves lie."""
        mean = [(i, part) for i, part in rows if part.row.form is Form.GAUSS]
        self.tail.bind(processes, [(i, part) for i, part in rows if part.row.form is Form.BINOMIAL])
        self._rows = slice(mean[0][0], mean[-1][0] + 1)
        self._at = slice(mean[0][0] - processes.gauss_first, mean[-1][0] + 1 - processes.gauss_first)
        self._nulls = [(i, int(part.role is Role.P)) for i, part in mean if part.role in (Role.F, Role.P)]

    def _capped(self) -> tuple[Floats, float]:
        """Return each cell's value, capped at the baseline's p99.5, and its squared coefficient of variation."""
        source, frame = self.source, self.source.frame
        edge = frame.edges_at(source.recent, np.array([1.0 - _CAP_AT]))[0]
        key = (edge, frame.changed, frame.size)
        if key != self._values[0]:
            self._values = (key, np.minimum(frame.middles(), math.exp(frame.log_edge(max(edge, 1)))))
        values, recent = self._values[1], frame.sums[0]
        total = float(recent.sum())
        mean = float(recent @ values) / total
        return values, float(recent @ (values * values)) / total / (mean * mean) - 1.0

    def _log_ratio(self) -> tuple[float, float] | None:
        """Return ln of the ratio of capped means and its sampling variance."""
        if not self.source.loaded or not self.source.taught:
            return None
        values, spread = self._capped()
        one, two = self.source.cells
        n_1, n_2 = self.source.totals
        if n_1 <= 0 or n_2 <= 0:
            return None
        first, second = float(one @ values) / n_1, float(two @ values) / n_2
        if not (first > 0 and second > 0):
            return None
        return math.log(first / second), max(spread, 1e-9) * (1.0 / n_1 + 1.0 / n_2)

    def residuals(self, a: Cohort, b: Cohort) -> list[Residual | None]:
        """Return one A/A window's residuals: capped mean, tail."""
        found = self._log_ratio()
        mean = Residual(found[0], found[1], found[1]) if found else None
        return [mean, *self.tail.residuals(a, b)]

    def read(self, processes: EProcesses, canary: Cohort, baseline: Cohort) -> Reading:
        """Write this window's capped means and tails into the e-processes."""
        tail = self.tail.read(processes, canary, baseline)
        found = self._log_ratio() if tail.no_data is None else None
        if found is None:
            return Reading(tail.no_data or NoData.TOO_FEW_SAMPLES)
        y, sampling = found
        sd = math.sqrt(sampling + float(processes.tau2[0, self.index]))
        for row, which in self._nulls:
            processes.t0[row] = 1.0 + degradation((self.fail_margin, self.gate.pass_at)[which], self._level())
        processes.sd[self._at] = sd
        processes.z[self._at] = (y - processes.log_t0(self._rows)) / sd
        self._window = (y, sd)
        return Reading(None, (Residual(y - self._running(), sampling, sampling), *tail.residuals), tail.counts)

    def _level(self) -> float:
        values, recent = self._values[1], self.source.frame.sums[0]
        return float(recent @ values) / float(recent.sum())

    def _means(self) -> tuple[float, float] | None:
        canary, baseline = self.source.rollout_tails.recent
        values = self._values[1]
        if values.size + 1 != canary.size or not canary[-1] > 0 or not baseline[-1] > 0:
            return None
        one, two = (float(np.diff(tails)[::-1] @ values) / float(tails[-1]) for tails in (canary, baseline))
        return one, two

    def _running(self) -> float:
        means = self._means()
        return math.log(means[0] / means[1]) if means and means[0] > 0 and means[1] > 0 else 0.0

    def absorb(self, canary: Cohort, baseline: Cohort, *, judged: bool) -> None:
        """Take the window into the tail's running ratio (the source absorbs the histograms)."""
        self.tail.absorb(canary, baseline, judged=judged)
        if judged and self.source.loaded:
            y, sd = self._window
            self.whole.add(y, self._level(), 1.0 / (sd * sd))

    def describe(self, processes: EProcesses) -> Description:
        """Return how the capped mean stands; the tail's numbers are in the detail."""
        means = self._means()
        nulls = {which: float(processes.t0[row]) for row, which in self._nulls}
        if means is None:
            return Description(tolerance=nulls[0] - 1.0, pass_margin=nulls[1] - 1.0)
        tail, sd = self.tail.describe(processes), self._window[1]
        past = [(self._running() - math.log(nulls[which])) / sd for which in (0, 1)]
        detail = {"sd": sd, "tail_tolerance": tail.tolerance, "tail_gain_f": tail.gain_f}
        return Description(
            canary=means[0],
            baseline=means[1],
            tolerance=nulls[0] - 1.0,
            pass_margin=nulls[1] - 1.0,
            gain_f=0.5 * past[0] ** 2 if past[0] > 0 else tail.gain_f,
            gain_p=min(0.5 * past[1] ** 2, tail.gain_p) if past[1] < 0 else 0.0,
            detail=detail,
            whole=shifted(self.whole),
        )

    def volumes(self) -> tuple[float, ...]:
        """Return the events of both cohorts in a window, by channel: those of the tail are its values."""
        return (0.0, *self.tail.volumes())

    def to_doc(self) -> dict[str, object]:
        """Return the state between windows."""
        return {"tail": self.tail.to_doc(), "whole": self.whole.to_list()}

    def restore(self, doc: dict[str, object]) -> None:
        """Continue from `to_doc`."""
        tail, whole = doc["tail"], doc["whole"]
        assert isinstance(tail, dict)
        assert isinstance(whole, list)
        self.tail.restore(tail)
        self.whole = WeightedTotals(*whole)
