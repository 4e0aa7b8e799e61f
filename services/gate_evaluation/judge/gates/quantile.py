"""Latency quantiles: the canary's tail beyond a shifted edge against the baseline's beyond the edge of its quantile.

If the canary is at most k buckets slower, its tail above edge s + k is at most the baseline's above s: a comparison of
counts, without an estimate of either quantile. For tails several edges are compared at once, as zones between them, so
the tolerance speaks of the whole tail beyond the quantile.
"""

import math
from collections.abc import Sequence

import numpy as np

from services.gate_evaluation.judge.arrays import Floats
from services.gate_evaluation.judge.evidence import mixtures, rate_state
from services.gate_evaluation.judge.evidence.e_processes import EProcesses, Form
from services.gate_evaluation.judge.evidence.gate_rows import Context, GateRow, Role, fail_row, interval_rows, pass_row
from services.gate_evaluation.judge.evidence.rate_state import RateState
from services.gate_evaluation.judge.evidence.reading import Description, Reading, count_gain
from services.gate_evaluation.judge.gates.counts import degradation
from services.gate_evaluation.judge.measures import Cohort
from services.gate_evaluation.judge.noise.dispersion import Residual
from services.gate_evaluation.judge.series.tails import TailSource
from services.gate_evaluation.judge.spec import GateSpec, Margin
from services.gate_evaluation.judge.verdict import NoData
from services.gate_evaluation.judge.versions import CURRENT, Parameters

_STEPS = (-8, -5, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 8, 11, 16, 24, 36)
"""Shifts of the displayed interval, in steps of about 4.4 %."""
_STEP = math.log(2.0) / 16


class QuantileComparison:
    """State of one quantile gate; the histograms belong to the `TailSource` that gates of one metric share."""

    prior_sds = (0.05,)

    def __init__(
        self, gate: GateSpec, first_channel: int, source: TailSource, parameters: Parameters = CURRENT
    ) -> None:
        assert gate.q is not None
        self.gate = gate
        self.fail_margin = gate.fail_at
        self.index = first_channel
        self.rates = RateState()
        self.source = source
        self.q = gate.q
        self._parameters = parameters
        self.zoned = gate.q >= 0.9
        zones = mixtures.TAIL_SHARES if self.zoned else (1.0,)
        self._shares: Floats = np.array(zones) * (1.0 - gate.q)
        self._shift: tuple[int, int] = (1, 1)
        self._absolute: list[int] = []
        self._key: tuple[object, ...] = ()
        self._index: np.ndarray[tuple[int], np.dtype[np.intp]] = np.zeros(0, dtype=np.intp)
        self._interval = False
        self._told: tuple[tuple[int, ...], tuple[float, float]] = ((), (0.0, 0.0))
        self._nulls: tuple[int, Floats] | None = None

    def start_rollout(self) -> None:
        """Begin a rollout: nothing is known of its canary (the source forgets its histograms)."""
        self.rates.start_rollout()

    def set_tolerance(self, margin: Margin) -> None:
        """Test F against another degradation than the plan's tolerance."""
        self.fail_margin = margin

    def anchor(self) -> list[float]:
        """Return what places the rows beside the quantile: the total of a window."""
        return [self._total()]

    def rows(self, context: Context, anchor: Sequence[float]) -> list[GateRow]:
        """Return this gate's rows; the quantile fixes the rate of its events."""
        effects = context.effects(1.0 - self.q, mixtures.POINTS, anchor[0])
        found: list[GateRow] = []
        middle = mixtures.TAIL_BELL if self.zoned else mixtures.BELL
        families = mixtures.TAIL_FAMILIES if self.zoned else ((1.0, (1.0,)),)
        for weight, exponents in families:
            elements = len(effects) * len(families)
            row = fail_row(
                self.index, effects, context, elements=elements, exponents=exponents, weight=weight, middle=middle
            )
            found.append(GateRow(Role.F, row, weight))
        backs = mixtures.pass_effects(self._pass_relative(), mixtures.PASS_TAIL)
        found.append(GateRow(Role.P, pass_row(self.index, backs)))
        if context.interval:
            few = context.effects(1.0 - self.q, 5, anchor[0])
            found += interval_rows(self.index, Form.BINOMIAL, few, [0.0] * len(_STEPS))
        return found

    def _pass_relative(self) -> float:
        return self.gate.pass_at.relative or 0.2

    def bind(self, processes: EProcesses, rows: list[tuple[int, GateRow]]) -> None:
        """Remember where this gate's rows and cells lie (they are contiguous, F first, then P)."""
        self._first = rows[0][0]
        self._rows = slice(self._first, rows[-1][0] + 1)
        self._pass = next(i for i, part in rows if part.role is Role.P)
        cells = processes.first_cell[self._first]
        count = sum(len(part.row.exponents) for _, part in rows)
        self._cells = slice(cells, cells + count)
        self._interval = any(part.role is Role.LOW for _, part in rows)
        self._key = ()

    def _place(self) -> None:
        """Find edges and shifts from the smoothed baseline, and the tails that the cells read."""
        source, frame = self.source, self.source.frame
        edges = tuple(frame.edges_at(source.recent, self._shares))
        key = (edges, frame.changed, frame.size)
        if key == self._key and not self.gate.fail_at.absolute and not self.gate.pass_at.absolute:
            return
        level = frame.quantile(source.recent, self.q) or 0.0
        margins = (self.fail_margin, self.gate.pass_at)
        tolerance, passing = (self._steps_for(edges[0], degradation(m, level)) for m in margins)
        self._shift = (tolerance, passing)
        self._absolute, self._key = [edge + frame.low for edge in edges], key
        self._index = self._gather(edges)

    def _steps_for(self, edge: int, relative: float) -> int:
        return self.source.frame.steps_for(edge, relative) if relative > 0 else 0

    def _gather(self, edges: tuple[int, ...]) -> "np.ndarray[tuple[int], np.dtype[np.intp]]":
        size, (k, k_pass) = self.source.frame.size, self._shift
        top = size  # the edge above everything
        cells: list[tuple[int, int, int]] = []  # (edge, next edge, shift of the canary)
        if self.zoned:
            uppers = [*edges[1:], top]
            zones = [(e, max(u, e), k) for e, u in zip(edges, uppers, strict=True)]
            cells += zones * len(mixtures.TAIL_FAMILIES)
        else:
            cells.append((edges[0], top, k))
        cells.append((edges[0], top, k_pass))
        if self._interval:
            cells += [(edges[0], top, step) for step in self._steps() for _ in range(2)]
        low, high, shift = (np.array(column) for column in zip(*cells, strict=True))
        open_top = high == top
        wide = size + 1
        a_low = np.clip(size - low - shift, 0, size)
        a_high = np.where(open_top, 0, np.clip(size - high - shift, 0, size))
        b_low, b_high = size - low, size - high
        return np.concatenate((a_low, a_high, b_low + wide, b_high + wide)).astype(np.intp)

    @property
    def _edge(self) -> int:
        return self._absolute[0] - self.source.frame.low

    def _steps(self) -> list[int]:
        scale = self.source.frame.scale
        per_step = 1 if scale is None else max(round(_STEP / (math.log(2.0) * 2.0**-scale)), 1)
        return [step * per_step for step in _STEPS]

    def log_nulls(self) -> Floats | None:
        """Return ln of the latency ratio that each pair of interval rows tests; None before the first window."""
        if not self._absolute:
            return None
        frame, edge = self.source.frame, self._edge
        if frame.scale is not None:
            return self._even_nulls(frame.scale)
        here = frame.log_edge(edge)
        return np.array([frame.log_edge(min(max(edge + s, 1), frame.size)) - here for s in self._steps()])

    def _even_nulls(self, scale: int) -> Floats:
        if self._nulls is None or self._nulls[0] != scale:
            step = math.log(2.0) * 2.0**-scale
            self._nulls = (scale, np.array(self._steps()) * step)
        return self._nulls[1]

    def residuals(self, a: Cohort, b: Cohort) -> list[Residual | None]:
        """Return one A/A window's residual."""
        if not self.source.loaded or not self.source.taught or self.source.frame.seen < 2:
            return [None]
        edge = self.source.frame.edges_at(self.source.recent, self._shares[:1])[0]
        return [self._residual(edge, 1.0)]

    def _residual(self, edge: int, ratio: float) -> Residual | None:
        pair, recent = self.source.pair, self.source.recent
        at = self.source.frame.size - edge
        n_a, n_b = self.source.totals
        x_a, x_b = pair.item(0, at), pair.item(1, at)
        smoothed = recent.item(at) / recent.item(-1) * (n_a + n_b)
        expected = rate_state.expected_events(smoothed, x_a + x_b)
        return rate_state.residual(x_a, n_a, x_b, n_b, expected=expected, ratio=ratio)

    def read(self, processes: EProcesses, canary: Cohort, baseline: Cohort) -> Reading:
        """Write this window's tails into the e-processes and return what was read."""
        source = self.source
        if not source.loaded:
            return Reading(NoData.TELEMETRY_OUTAGE)
        n_c, n_b = source.totals
        if n_c <= 0 or n_b <= 0:
            return Reading(NoData.NO_TRAFFIC)
        if not source.taught:
            return Reading(NoData.TOO_FEW_SAMPLES)
        self._place()
        values = source.pair.ravel()[self._index]
        count = values.size // 4
        a = values[:count] - values[count : 2 * count]
        b = values[2 * count : 3 * count] - values[3 * count :]
        processes.a[self._cells] = a
        processes.x[self._cells] = a + b
        edge = self._edge
        at = source.frame.size - edge
        self._window = (source.pair.item(0, at), n_c, source.pair.item(1, at), n_b)
        self._expect(processes, n_c, n_b, self._window[0] + self._window[2])
        counts = {"canary": source.pair.item(0, max(at - self._shift[0], 0)), "canary_total": n_c,
                  "baseline": self._window[2], "baseline_total": n_b}  # fmt: skip
        residual = None if self._incident(at) else self._residual(edge, self.rates.ratio)
        return Reading(None, (residual,), counts)

    def _incident(self, at: int) -> bool:
        """Return whether the window is an incident, whose residual is left out (see `CountsComparison.read`)."""
        if self._parameters.incidents_are_noise:
            return False
        pair, recent = self.source.pair, self.source.recent
        smoothed = recent.item(at) / recent.item(-1) * sum(self.source.totals)
        return rate_state.is_incident(smoothed, pair.item(0, at) + pair.item(1, at))

    def _expect(self, processes: EProcesses, n_c: float, n_b: float, x: float) -> None:
        source, total = self.source, n_c + n_b
        top = source.frame.size + source.frame.low
        above = [source.recent.item(top - edge) for edge in self._absolute]
        scale = total / source.recent.item(-1)
        smoothed = above[0] * scale
        expected = rate_state.expected_events(smoothed, x)
        processes.n_canary[self.index], processes.n_baseline[self.index] = n_c, n_b
        processes.floor[self.index] = rate_state.floor_of(expected, total)
        processes.expected[self._rows] = expected
        if self.zoned:
            grow = expected / smoothed if smoothed > 0 else 1.0
            zones = [(low - high) * scale * grow for low, high in zip(above, [*above[1:], 0.0], strict=True)]
            for row, (_, exponents) in enumerate(mixtures.TAIL_FAMILIES, self._first):
                first = second = 0.0
                for c, e in zip(exponents, zones, strict=True):
                    first += c * e
                    second += c * c * e
                processes.expected[row] = first * first / second if second > 0 else 0.0

    def absorb(self, canary: Cohort, baseline: Cohort, *, judged: bool) -> None:
        """Take the window into the running ratio (the source absorbs the histograms)."""
        if judged and self.source.loaded:
            self.rates.run(*self._window)

    def describe(self, processes: EProcesses) -> Description:
        """Return how the gate stands over the recent windows."""
        frame = self.source.frame
        canary, baseline = self.source.rollout_tails.recent
        if not self._absolute or not canary.item(-1) > 0:
            return Description(tolerance=self.gate.fail_at.relative, pass_margin=self.gate.pass_at.relative)
        edge = self._edge
        at = frame.size - edge
        effective = self._effective(edge)
        n_c, n_b, total = processes.n_canary.item(self.index), processes.n_baseline.item(self.index), baseline.item(-1)
        share = baseline.item(at) / total if total > 0 else 0.0
        events = n_c * share * n_b / (n_c + n_b)
        per = canary.item(-1) * max(share, 1e-12)
        ratios = [(canary.item(max(at - k, 0)) + 0.5) / per for k in self._shift]
        gain_f = count_gain(events, ratios[0], 1.0, processes.phi.item(self._first)) if ratios[0] > 1 else 0.0
        gain_p = count_gain(events, ratios[1], 1.0, processes.phi.item(self._pass)) if ratios[1] < 1 else 0.0
        steps, tails = float(self._shift[0]), float(len(self._absolute))
        detail = {"edge": math.exp(frame.log_edge(edge)), "steps": steps, "tails": tails}
        if frame.scale is not None:
            detail["scale"] = float(frame.scale)
        recent, whole = self.source.rollout_tails.quantiles(self.q)
        return Description(
            canary=recent[0] if recent is not None else None,
            baseline=recent[1] if recent is not None else None,
            tolerance=effective[0],
            pass_margin=effective[1],
            gain_f=gain_f,
            gain_p=gain_p,
            detail=detail,
            whole=whole,
        )

    def _effective(self, edge: int) -> tuple[float, float]:
        """Return tolerance and pass margin as the shifts between edges are; they move seldom."""
        frame, (tolerance, passing) = self.source.frame, self._shift
        key = (frame.changed, edge, tolerance, passing)
        if key != self._told[0]:
            here = frame.log_edge(edge)
            one, two = (math.expm1(frame.log_edge(min(edge + k, frame.size)) - here) for k in self._shift)
            self._told = (key, (one, two))
        return self._told[1]

    def _total(self) -> float:
        return float(self.source.frame.sums[0].sum())

    def volumes(self) -> tuple[float, ...]:
        """Return the values beyond the quantile that both cohorts have in a window, by channel."""
        return ((1.0 - self.q) * self._total(),)

    def to_doc(self) -> dict[str, object]:
        """Return the state between windows."""
        return {"lane": self.rates.to_list(), "edges": self._absolute}

    def restore(self, doc: dict[str, object]) -> None:
        """Continue from `to_doc`."""
        channel, edges = doc["lane"], doc["edges"]
        assert isinstance(channel, list)
        assert isinstance(edges, list)
        self.rates, self._absolute = RateState.from_list(channel), list(edges)
