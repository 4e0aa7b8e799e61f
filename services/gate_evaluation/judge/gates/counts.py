"""Ratios (errors, conversions) and counts per exposure (throughput, usage): canary events given all events."""

import math
from collections.abc import Sequence

from services.gate_evaluation.judge.evidence import mixtures, rate_state
from services.gate_evaluation.judge.evidence.e_processes import EProcesses, Form, Row
from services.gate_evaluation.judge.evidence.gate_rows import (
    Context,
    GateRow,
    Role,
    even,
    fail_row,
    interval_rows,
    ladder,
    pass_row,
)
from services.gate_evaluation.judge.evidence.rate_state import RateState
from services.gate_evaluation.judge.evidence.reading import Description, Reading, count_gain
from services.gate_evaluation.judge.measures import Cohort, Count, Ratio
from services.gate_evaluation.judge.noise.dispersion import Residual
from services.gate_evaluation.judge.spec import Direction, GateKind, GateSpec, Margin
from services.gate_evaluation.judge.verdict import NoData
from services.gate_evaluation.judge.versions import CURRENT, Parameters

_RATE_UNKNOWN = 0.005
_SIDES = {Direction.UP: (1,), Direction.DOWN: (-1,), Direction.BOTH: (1, -1)}
_WIDEST_DEGRADATION = 1e6
_RATE_MOST = 0.999


def degradation(margin: Margin, level: float) -> float:
    """Return the relative degradation that a margin means at a baseline level (at most 1e6)."""
    absolute = margin.absolute / level if level > 0 else _WIDEST_DEGRADATION
    return min(max(margin.relative, absolute), _WIDEST_DEGRADATION) if margin.absolute > 0 else margin.relative


def null_ratio(margin: Margin, level: float, *, down: bool) -> float:
    """Return T0: the ratio of canary to baseline exactly at the margin."""
    change = degradation(margin, level)
    return max(1.0 - change, 1e-3) if down else 1.0 + change


def pair_of(cohort: Cohort, metric: str, kind: GateKind) -> tuple[float, float] | None:
    """Return (events, total) of a ratio, (value, exposure) of a count, None if not measured."""
    measure = cohort.measures.get(metric)
    if kind is GateKind.COUNT:
        return (measure.value, measure.exposure) if isinstance(measure, Count) else None
    return (measure.events, measure.total) if isinstance(measure, Ratio) else None


class CountsComparison:
    """State of one ratio or count gate."""

    prior_sds = (0.10,)

    def __init__(self, gate: GateSpec, first_channel: int, parameters: Parameters = CURRENT) -> None:
        self.gate = gate
        self.fail_margin = gate.fail_at
        self.index = first_channel
        self.rates = RateState()
        self._poisson = gate.kind is GateKind.COUNT
        self._fail: list[tuple[int, bool]] = []
        self._pass: list[tuple[int, bool]] = []
        self._parameters = parameters
        self._rare: dict[Role, int] = {}
        self._gross: int | None = None
        self._span = (slice(0, 0), slice(0, 0))

    def start_rollout(self) -> None:
        """Begin a rollout: nothing is known of its canary."""
        self.rates.start_rollout()

    def set_tolerance(self, margin: Margin) -> None:
        """Test F against another degradation than the plan's tolerance."""
        self.fail_margin = margin

    def anchor(self) -> list[float]:
        """Return what places the rows: the history's rate and total, and whether F and P need a one-sample side."""
        known = self.rates.seen >= 1
        rare_fail, rare_pass = self._needs_one_sample(known)
        rate = self.rates.rate if known else _RATE_UNKNOWN
        return [rate, self.rates.total, float(rare_fail), float(rare_pass)]

    def rows(self, context: Context, anchor: Sequence[float]) -> list[GateRow]:
        """Return this gate's rows."""
        rate, total, rare_fail, rare_pass = anchor
        effects = context.effects(rate, mixtures.POINTS, total)
        sides = _SIDES[self.gate.bad]
        margin = self.gate.pass_at
        backs = mixtures.pass_effects(margin.relative or degradation(margin, rate), mixtures.PASS_RATIO)
        found: list[GateRow] = []
        gross = self._gross_share(context)
        for group, side in enumerate(sides):
            weight = (0.5 if rare_fail else 1.0) * (1.0 - gross) / len(sides)
            row = fail_row(self.index, [side * e for e in effects], context, elements=len(effects), weight=weight)
            found.append(GateRow(Role.F, row, weight, group))
            row = pass_row(self.index, [side * e for e in backs])
            found.append(GateRow(Role.P, row, 0.5 if rare_pass else 1.0, group))
        if rare_fail:
            cap = mixtures.cap_of(len(mixtures.RARE_Q1), context.share)
            row = Row(self.index, Form.BERNOULLI, mixtures.RARE_Q1, even(len(mixtures.RARE_Q1)), onset=True, cap=cap)
            found.append(GateRow(Role.F, row, 0.5 * (1.0 - gross)))
        if gross:
            found.append(GateRow(Role.F, self._gross_row(context, gross), gross))
        if rare_pass:
            logs = tuple(math.log(share) for share, _ in mixtures.RARE_PASS)
            weights = tuple(weight for _, weight in mixtures.RARE_PASS)
            found.append(GateRow(Role.P, Row(self.index, Form.BERNOULLI, logs, weights, plain=True), 0.5))
        if context.interval:
            few = context.effects(rate, 5, total)
            found += interval_rows(self.index, Form.BINOMIAL, few, ladder(min(few[0] / 2, 0.1), 4.0, 8))
        return found

    def _gross_share(self, context: Context) -> float:
        """Return the share of the gate's budget that the gross-harm row spends: only a rise of a rate can be gross."""
        return 0.0 if self._poisson or self.gate.bad is not Direction.UP else context.parameters.gross_share

    def _gross_row(self, context: Context, share: float) -> Row:
        """Return the one-sample row against "the canary's rate is at most `GROSS_MULTIPLE` times the tolerated one"."""
        effects = mixtures.GROSS_EFFECTS
        cap = mixtures.cap_of(len(effects), context.share * share)
        return Row(self.index, Form.BERNOULLI, effects, even(len(effects)), onset=True, cap=cap, exact=True)

    def _needs_one_sample(self, known: bool) -> tuple[bool, bool]:
        if self.gate.bad is not Direction.UP or self._poisson:
            return False, False
        rate = self.rates.all_events / self.rates.all_total if known and self.rates.all_total > 0 else 0.0
        fail, pas = self.gate.fail_at.absolute, self.gate.pass_at.absolute
        return fail > 2.0 * rate and fail > 0, rate < 0.6 * pas and pas < 0.5

    def bind(self, processes: EProcesses, rows: list[tuple[int, GateRow]]) -> None:
        """Remember where this gate's rows and cells lie among the e-processes."""
        two = [(i, part) for i, part in rows if part.row.form is Form.BINOMIAL]
        one = [(i, part) for i, part in rows if part.row.form is Form.BERNOULLI]
        self._rare = {part.role: i for i, part in one if not part.row.exact}
        self._gross = next((i for i, part in one if part.row.exact), None)
        self._fail = [(i, part.row.effects[0] < 0) for i, part in two if part.role is Role.F]
        self._pass = [(i, part.row.effects[0] > 0) for i, part in two if part.role is Role.P]
        first, last = two[0][0], two[-1][0] + 1
        cell = processes.first_cell[first]
        self._span = (slice(first, last), slice(cell, cell + last - first))

    def residuals(self, a: Cohort, b: Cohort) -> list[Residual | None]:
        """Return one A/A window's residual."""
        one, two = (pair_of(cohort, self.gate.metric, self.gate.kind) for cohort in (a, b))
        if one is None or two is None or one[1] <= 0 or two[1] <= 0:
            return [None]
        return [self._residual(one, two, 1.0)]

    def absorb_halves(self, a: Cohort, b: Cohort) -> None:
        """Take both halves of the stable fleet into the rate."""
        one, two = (pair_of(cohort, self.gate.metric, self.gate.kind) for cohort in (a, b))
        if one is not None and two is not None and one[1] + two[1] > 0:
            self.rates.absorb(one[0] + two[0], one[1] + two[1])

    def _smoothed(self, one: tuple[float, float], two: tuple[float, float]) -> float:
        x, rates = one[0] + two[0], self.rates
        return rates.events / rates.total * (one[1] + two[1]) if rates.total > 0 else x

    def _expected(self, one: tuple[float, float], two: tuple[float, float]) -> float:
        return rate_state.expected_events(self._smoothed(one, two), one[0] + two[0])

    def _residual(self, one: tuple[float, float], two: tuple[float, float], ratio: float) -> Residual | None:
        if self.rates.seen < 2:
            return None
        expected = self._expected(one, two)
        return rate_state.residual(*one, *two, expected=expected, ratio=ratio, poisson=self._poisson)

    def read(self, processes: EProcesses, canary: Cohort, baseline: Cohort) -> Reading:
        """Write this window's counts into the e-processes and return what was read."""
        one, two = (pair_of(cohort, self.gate.metric, self.gate.kind) for cohort in (canary, baseline))
        if one is None or two is None:
            return Reading(NoData.TELEMETRY_OUTAGE)
        if one[1] <= 0 or two[1] <= 0:
            return Reading(NoData.NO_TRAFFIC)
        self._write(processes, one, two)
        # An incident weighs as much as hundreds of calm windows: gross harm would pass for noise, and hide itself.
        incident = not self._parameters.incidents_are_noise and rate_state.is_incident(
            self._smoothed(one, two), one[0] + two[0]
        )
        residual = None if incident else self._residual(one, two, self.rates.ratio)
        counts = {"canary": one[0], "canary_total": one[1], "baseline": two[0], "baseline_total": two[1]}
        return Reading(None, (residual,), counts)

    def _write(self, processes: EProcesses, one: tuple[float, float], two: tuple[float, float]) -> None:
        expected = self._expected(one, two)
        processes.n_canary[self.index], processes.n_baseline[self.index] = one[1], two[1]
        processes.floor[self.index] = 1.0 if self._poisson else rate_state.floor_of(expected, one[1] + two[1])
        rows, cells = self._span
        processes.expected[rows] = expected
        processes.a[cells] = one[0]
        processes.x[cells] = one[0] + two[0]
        for row, down in self._fail:
            processes.t0[row] = null_ratio(self.fail_margin, self.rates.rate, down=down)
        for row, down in self._pass:
            processes.t0[row] = null_ratio(self.gate.pass_at, self.rates.rate, down=down)
        if self._rare:
            self._write_one_sample(processes, one, two)
        if self._gross is not None:
            at = self._gross - processes.one_first
            processes.hits[at], processes.n[at] = one
            processes.q0[at] = self._gross_null(two)

    def _gross_null(self, two: tuple[float, float]) -> float:
        """Return the gross-harm row's null rate: a multiple of what is tolerated at the highest plausible baseline.

        The baseline's rate is bounded from above by three standard deviations, of all its windows and of this one, so
        an incident that both cohorts share raises the null with it.
        """
        rates, margin = self.rates, self.fail_margin
        totals = ((rates.all_events + two[0], rates.all_total + two[1]), two)
        level = max((seen + 3.0 * math.sqrt(seen + 1.0)) / total for seen, total in totals)
        tolerated = max(level * (1.0 + margin.relative), level + margin.absolute)
        return min(max(mixtures.GROSS_MULTIPLE * tolerated, mixtures.GROSS_FLOOR), _RATE_MOST)

    def _write_one_sample(self, processes: EProcesses, one: tuple[float, float], two: tuple[float, float]) -> None:
        for used in self._rare.values():
            at = used - processes.one_first
            processes.hits[at], processes.n[at] = one
        if Role.P in self._rare:
            processes.q0[self._rare[Role.P] - processes.one_first] = self.gate.pass_at.absolute
        row = self._rare.get(Role.F)
        if row is None:
            return
        rates, margin = self.rates, self.fail_margin
        seen, total = rates.all_events + two[0], rates.all_total + two[1]
        upper = (seen + 2.0 * math.sqrt(seen + 1.0) + 2.0) / total
        processes.q0[row - processes.one_first] = min(
            max(upper + margin.absolute, upper * (1 + margin.relative)), 0.999
        )
        if two[0] > 3.0 * upper * two[1] + 3.0:
            processes.active[row] = 0.0

    def absorb(self, canary: Cohort, baseline: Cohort, *, judged: bool) -> None:
        """Take the window into what later windows expect."""
        one, two = (pair_of(cohort, self.gate.metric, self.gate.kind) for cohort in (canary, baseline))
        if two is None or two[1] <= 0:
            return
        if judged and one is not None:
            self.rates.run(*one, *two)
            self.rates.whole.add_counts(*one, *two)
        self.rates.absorb(*two)

    def describe(self, processes: EProcesses) -> Description:
        """Return how the gate stands over the recent windows."""
        rates, gate = self.rates, self.gate
        if not rates.exposed > 0:
            return Description(
                tolerance=degradation(gate.fail_at, rates.rate), pass_margin=degradation(gate.pass_at, rates.rate)
            )
        rate = rates.rate
        return Description(
            canary=rates.canary / rates.exposed,
            baseline=rates.expected / rates.exposed,
            tolerance=degradation(gate.fail_at, rate),
            pass_margin=degradation(gate.pass_at, rate),
            gain_f=max(self._gain(processes, row, beyond=True) for row, _ in self._fail),
            gain_p=min(self._gain(processes, row, beyond=False) for row, _ in self._pass),
            whole=rates.whole.pair,
        )

    def _gain(self, processes: EProcesses, row: int, *, beyond: bool) -> float:
        """Return the nats a window about the present ratio, if it lies beyond (or short of) the row's null."""
        n, other = processes.n_canary.item(self.index), processes.n_baseline.item(self.index)
        ratio, null = self.rates.ratio, processes.t0.item(row)
        outside = ratio > null if null >= 1.0 else ratio < null
        if outside is not beyond:
            return 0.0
        return count_gain(n * self.rates.rate * other / (n + other), ratio, null, processes.phi.item(row))

    def volumes(self) -> tuple[float, ...]:
        """Return the events that both cohorts have in a window, by channel."""
        return (self.rates.events,)

    def to_doc(self) -> dict[str, object]:
        """Return the state between windows."""
        return {"lane": self.rates.to_list()}

    def restore(self, doc: dict[str, object]) -> None:
        """Continue from `to_doc`."""
        channel = doc["lane"]
        assert isinstance(channel, list)
        self.rates = RateState.from_list(channel)
