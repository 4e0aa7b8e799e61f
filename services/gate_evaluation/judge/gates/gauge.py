"""Gauges of instances (memory, CPU): the log ratio of means, with the variance that instances of one fleet show."""

import math
from collections.abc import Sequence

from services.gate_evaluation.judge.evidence import mixtures
from services.gate_evaluation.judge.evidence.e_processes import EProcesses, Form, Row
from services.gate_evaluation.judge.evidence.gate_rows import Context, GateRow, Role, even, interval_rows, ladder
from services.gate_evaluation.judge.evidence.rate_state import FORGET
from services.gate_evaluation.judge.evidence.reading import Description, Reading
from services.gate_evaluation.judge.evidence.weighted_totals import WeightedTotals, shifted
from services.gate_evaluation.judge.gates.counts import degradation
from services.gate_evaluation.judge.measures import Cohort, Gauge
from services.gate_evaluation.judge.noise.dispersion import Residual
from services.gate_evaluation.judge.spec import Direction, GateSpec, Margin
from services.gate_evaluation.judge.verdict import NoData

_SIDES = {Direction.UP: (1,), Direction.DOWN: (-1,), Direction.BOTH: (1, -1)}
_LOCAL = 0.15
"""Weight of the newest window in the mean that residuals are taken around: a leak is not noise."""
_FEW = (0.06, 0.2, 0.6, 1.5, 4.0)


def log_ratio(one: Gauge, two: Gauge) -> tuple[float, float] | None:
    """Return ln(mean / mean) and the sum of 1/instances, None where a mean is not above zero."""
    if one.count <= 0 or two.count <= 0 or one.sum <= 0 or two.sum <= 0:
        return None
    return math.log(one.sum / one.count * two.count / two.sum), 1.0 / one.count + 1.0 / two.count


class GaugeComparison:
    """State of one gauge gate."""

    prior_sds = (0.02,)

    def __init__(self, gate: GateSpec, first_channel: int) -> None:
        self.gate = gate
        self.fail_margin = gate.fail_at
        self.index = first_channel
        self.level = self.seen = 0.0
        self.start_rollout()
        self._margins: list[tuple[int, int, bool]] = []  # (row, 0 tolerance or 1 pass margin, down)
        self._window = (0.0, 1.0)

    def start_rollout(self) -> None:
        """Begin a rollout: nothing is known of its canary."""
        self.canary = self.baseline = self.judged = self.local = 0.0
        self.whole = WeightedTotals()

    def set_tolerance(self, margin: Margin) -> None:
        """Test F against another degradation than the plan's tolerance."""
        self.fail_margin = margin

    def anchor(self) -> list[float]:
        """Return what places the rows: the history's level."""
        return [self.level]

    def rows(self, context: Context, anchor: Sequence[float]) -> list[GateRow]:
        """Return this gate's rows: standardised shifts for F, shares of the margin for P."""
        sides = _SIDES[self.gate.bad]
        cap = mixtures.cap_of(len(mixtures.GAUGE_POINTS), context.share)
        margin = degradation(self.gate.pass_at, anchor[0]) if anchor[0] > 0 else self.gate.pass_at.relative or 0.1
        backs = mixtures.pass_effects(margin, mixtures.PASS_GAUGE)
        found: list[GateRow] = []
        for group, side in enumerate(sides):
            points = tuple(side * point for point in mixtures.GAUGE_POINTS)
            row = Row(self.index, Form.GAUSS, points, even(len(points)), onset=True, cap=cap, standard=True)
            found.append(GateRow(Role.F, row, 1.0 / len(sides), group))
            row = Row(self.index, Form.GAUSS, tuple(side * e for e in backs), even(len(backs)))
            found.append(GateRow(Role.P, row, 1.0, group))
        if context.interval:
            found += interval_rows(self.index, Form.GAUSS, _FEW, ladder(0.004, 1.6, 8))
        return found

    def bind(self, processes: EProcesses, rows: list[tuple[int, GateRow]]) -> None:
        """Remember where this gate's rows lie among the e-processes."""
        first = processes.gauss_first
        self._at = slice(rows[0][0] - first, rows[-1][0] + 1 - first)
        self._rows = slice(rows[0][0], rows[-1][0] + 1)
        self._margins = []
        for index, part in rows:
            if part.role in (Role.F, Role.P):
                down = (part.row.effects[0] < 0) == (part.role is Role.F)
                self._margins.append((index, int(part.role is Role.P), down))

    def residuals(self, a: Cohort, b: Cohort) -> list[Residual | None]:
        """Return one A/A window's residual, per instance."""
        one, two = a.measures.get(self.gate.metric), b.measures.get(self.gate.metric)
        if not isinstance(one, Gauge) or not isinstance(two, Gauge):
            return [None]
        found = log_ratio(one, two)
        return [Residual(found[0] / math.sqrt(found[1]), 0.0, 0.0) if found else None]

    def absorb_halves(self, a: Cohort, b: Cohort) -> None:
        """Take both halves of the stable fleet into the level."""
        one, two = a.measures.get(self.gate.metric), b.measures.get(self.gate.metric)
        if isinstance(one, Gauge) and isinstance(two, Gauge) and one.count + two.count > 0:
            self._absorb_level((one.sum + two.sum) / (one.count + two.count))

    def _absorb_level(self, mean: float) -> None:
        self.seen += 1.0
        self.level += max(1.0 / self.seen, FORGET) * (mean - self.level)

    def read(self, processes: EProcesses, canary: Cohort, baseline: Cohort) -> Reading:
        """Write this window's log ratio into the e-processes and return what was read."""
        one, two = canary.measures.get(self.gate.metric), baseline.measures.get(self.gate.metric)
        if not isinstance(one, Gauge) or not isinstance(two, Gauge):
            return Reading(NoData.TELEMETRY_OUTAGE)
        found = log_ratio(one, two)
        if found is None:
            return Reading(NoData.TOO_FEW_SAMPLES if one.count > 0 and two.count > 0 else NoData.NO_TRAFFIC)
        y, spread = found
        sd = math.sqrt(max(float(processes.tau2[0, self.index]), 1e-12) * spread)
        for row, which, down in self._margins:
            margin = self.gate.pass_at if which else self.fail_margin
            change = degradation(margin, self.level) if self.level > 0 else margin.relative
            processes.t0[row] = max(1.0 - change, 1e-3) if down else 1.0 + change
        processes.sd[self._at] = sd
        processes.z[self._at] = (y - processes.log_t0(self._rows)) / sd
        self._window = (y, spread)
        scale = math.sqrt(spread)
        residual = Residual((y - self.local) / scale, 0.0, 0.0) if self.judged > 2 else None
        counts = {"canary": one.sum / one.count, "canary_total": one.count,
                  "baseline": two.sum / two.count, "baseline_total": two.count}  # fmt: skip
        return Reading(None, (residual,), counts)

    def absorb(self, canary: Cohort, baseline: Cohort, *, judged: bool) -> None:
        """Take the window into the running means and the level."""
        one, two = canary.measures.get(self.gate.metric), baseline.measures.get(self.gate.metric)
        if not isinstance(two, Gauge) or two.count <= 0:
            return
        if judged and isinstance(one, Gauge) and one.count > 0:
            self.judged += 1.0
            step = max(1.0 / self.judged, FORGET)
            self.canary += step * (one.sum / one.count - self.canary)
            self.baseline += step * (two.sum / two.count - self.baseline)
            self.local += max(step, _LOCAL) * (self._window[0] - self.local)
            self.whole.add(self._window[0], two.sum / two.count, 1.0 / self._window[1])
        self._absorb_level(two.sum / two.count)

    def describe(self, processes: EProcesses) -> Description:
        """Return how the gate stands over the recent windows."""
        nulls = {which: processes.t0.item(row) for row, which, _ in self._margins}
        if not self.judged > 0:
            return Description(tolerance=abs(nulls[0] - 1.0), pass_margin=abs(nulls[1] - 1.0))
        sd = processes.sd.item(self._at.start)
        ratio = math.log(self.canary / self.baseline)
        past = [(ratio - math.log(nulls[which])) / sd for which in (0, 1)]
        up = nulls[0] > 1.0
        return Description(
            canary=self.canary,
            baseline=self.baseline,
            tolerance=abs(nulls[0] - 1.0),
            pass_margin=abs(nulls[1] - 1.0),
            gain_f=0.5 * past[0] ** 2 if (past[0] > 0) == up else 0.0,
            gain_p=0.5 * past[1] ** 2 if (past[1] < 0) == up else 0.0,
            detail={"sd": sd},
            whole=shifted(self.whole),
        )

    def to_doc(self) -> dict[str, object]:
        """Return the state between windows."""
        means = [self.level, self.canary, self.baseline, self.seen, self.judged, self.local]
        return {"means": [*means, *self.whole.to_list()]}

    def restore(self, doc: dict[str, object]) -> None:
        """Continue from `to_doc`."""
        means = doc["means"]
        assert isinstance(means, list)
        self.level, self.canary, self.baseline, self.seen, self.judged, self.local = means[:6]
        self.whole = WeightedTotals(*means[6:])
