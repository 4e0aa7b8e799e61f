"""The judge of one rollout: windows in, verdicts out; deterministic, with a state that is saved as JSON."""

import math
from dataclasses import asdict
from typing import Any

import numpy as np
from msgspec.structs import replace

from penstock.errors import InvalidError, Problem
from services.gate_evaluation.judge.arrays import Floats, pack, unpack
from services.gate_evaluation.judge.decision.catastrophe import Catastrophe
from services.gate_evaluation.judge.decision.no_data import no_data_reason
from services.gate_evaluation.judge.decision.outlook import Prediction, predicted
from services.gate_evaluation.judge.decision.progress import Progress
from services.gate_evaluation.judge.decision.report import GateView, gate_verdict
from services.gate_evaluation.judge.decision.rule import Bake, Decision, Standing, breached, decide
from services.gate_evaluation.judge.decision.standings import enough, gated, standings_of
from services.gate_evaluation.judge.evidence.e_processes import EProcesses
from services.gate_evaluation.judge.evidence.mixtures import onset_weight
from services.gate_evaluation.judge.evidence.reading import Description, Reading
from services.gate_evaluation.judge.gates.history import History, load, without
from services.gate_evaluation.judge.gates.kinds import MONITORS, Evaluator, Monitor
from services.gate_evaluation.judge.gates.layout import Layout, Placing, lay, place, set_burst_divisors
from services.gate_evaluation.judge.gates.quantile import QuantileComparison
from services.gate_evaluation.judge.measures import Cohort, Window
from services.gate_evaluation.judge.noise.dispersion import Residual
from services.gate_evaluation.judge.noise.traffic_split import LIMIT, SplitGuard
from services.gate_evaluation.judge.spec import (
    Authority,
    JudgeSpec,
    Margin,
    Sensitivity,
    weights_of,
)
from services.gate_evaluation.judge.verdict import GateVerdict, NoData, Reason, WindowVerdict, Word
from services.gate_evaluation.judge.versions import CURRENT, Parameters, parameters_of

_EMPTY = Cohort()
_LN10 = math.log(10.0)


class Judge:
    """Evidence of one rollout. Start with `start`, feed `observe`, tell `new_stage` and `extend`, keep `to_doc`."""

    def __init__(
        self, spec: JudgeSpec, history: History, placing: Placing | None = None, *, report: bool = True
    ) -> None:
        self.spec = spec
        self._history = history
        self.parameters = history.parameters
        self._report = report
        self._weights = weights_of(spec)
        if spec.sensitivity is Sensitivity.ESTIMATE:
            for comparison in history.comparisons:
                comparison.set_tolerance(Margin(0.0))
        self._placing = placing or place(spec, history)
        self._layout: Layout = lay(spec, history, self._weights, self._placing, interval=report)
        self._processes: EProcesses = self._layout.processes
        self._processes.tau2, self._processes.unsure = history.dispersion.tau2, history.unsure
        self._processes.plausible = history.dispersion.plausible
        self._set_burst_divisors(spec.splits[0])
        self._split = SplitGuard()
        self._catastrophe = Catastrophe(spec.gates, by_share=self.parameters.catastrophe_by_share)
        gates = len(spec.gates)
        self._progress = Progress(0, 0, 0, spec.min_bake, spec.max_bake, [0] * gates, [0.0] * gates)

    def _set_burst_divisors(self, split: float) -> None:
        self._divisor_split = split
        set_burst_divisors(self._layout, self._history, split)

    @classmethod
    def start(
        cls,
        spec: JudgeSpec,
        history: History | None = None,
        *,
        report: bool = True,
        parameters: Parameters = CURRENT,
    ) -> "Judge":
        """Return a judge that has seen no window of the rollout.

        Args:
            spec: gates and budgets.
            history: what A/A windows taught; it is copied. None: priors only.
            parameters: of the version that judges.
            report: False leaves the gates' numbers and intervals out: the word alone (simulation).
        """
        seconds = spec.window_seconds
        if history is not None:
            memory = history.copy(spec.gates, seconds, parameters)
        else:
            memory = History(spec.gates, seconds, parameters)
        memory.start_rollout()
        return cls(spec, memory, report=report)

    @property
    def max_bake(self) -> int:
        """Judged windows until this stage is inconclusive."""
        return self._progress.max_bake

    def new_stage(
        self, min_bake: int | None = None, max_bake: int | None = None, must_pass: tuple[str, ...] | None = None
    ) -> None:
        """Begin a stage: P and the split restart, F goes on, and the bake is counted again.

        Args:
            must_pass: gates without which it does not pass; None: all of them. The others only guard.
        """
        done = self._progress
        done.min_bake = done.min_bake if min_bake is None else min_bake
        done.max_bake = done.max_bake if max_bake is None else max_bake
        done.must_pass = must_pass
        done.stage_judged, done.samples, done.predictions = 0, [0.0] * len(self.spec.gates), {}
        self._processes.restart(self._layout.pass_rows)
        self._split.restart()

    def extend(self, windows: int) -> None:
        """Lengthen the stage's bake; all evidence carries over."""
        self._progress.max_bake += windows

    def observe(self, window: Window, split: float | None, *, last: bool = False) -> WindowVerdict:
        """Take one window and return the verdict.

        Args:
            window: all cohorts of one interval.
            split: the canary share that the router was told to send in it; None leaves the split unchecked.
            last: no further window will come: an open verdict becomes final.
        """
        progress = self._progress
        progress.observed += 1
        self._history.advance(window)
        if split is not None and split != self._divisor_split and 0 < split < 1:
            self._set_burst_divisors(split)
        warm = progress.observed <= self.spec.warmup_windows
        canary = without(window.canary or _EMPTY, window.resets)
        baseline = without(window.baseline or _EMPTY, window.resets)
        readings = self._read(window, canary, baseline)
        usable = [reading.no_data is None for reading in readings]
        judged = any(usable) and not warm and not window.late
        if judged:
            self._judge(readings, usable)
            if split is not None and canary.requests is not None and baseline.requests is not None:
                variance = self._history.split.variance
                self._split.observe(canary.requests, baseline.requests, split, variance)
        evidence = self._processes.evidence()
        fired = self._catastrophe.observe(canary, baseline) and not warm
        standings = standings_of(self.spec, self._weights, self._layout.gates, readings, evidence)
        standings = self._mark_unmeasured(standings, last=last)
        decision = self._decide(standings, fired, warm=warm, last=last)
        self._absorb(window, canary, baseline, readings, judged=judged)
        verdict = self._verdict(window, decision, standings, readings, evidence, warm=warm)
        if window.a is not None and window.b is not None and not window.late:
            self._history.update_noise(without(window.a, window.resets), without(window.b, window.resets))
        self._processes.tau2, self._processes.unsure = self._history.dispersion.tau2, self._history.unsure
        return verdict

    def _read(self, window: Window, canary: Cohort, baseline: Cohort) -> list[Reading]:
        history, processes = self._history, self._processes
        history.seen |= canary.measures.keys() | baseline.measures.keys()
        for source in history.sources.values():
            load(source, canary, baseline)
        processes.active[:] = 1.0
        readings = []
        for evaluator in history.evaluators:
            if window.late:
                readings.append(Reading(NoData.LATE_DATA))
                continue
            if isinstance(evaluator, MONITORS):
                reading = self._observe(evaluator, canary, baseline)
            else:
                reading = evaluator.read(processes, canary, baseline)
            if reading.no_data is not None:
                reading = Reading(
                    no_data_reason(
                        reading.no_data, evaluator.gate.metric, window, history.seen, self._progress.observed
                    ),
                    needs=reading.needs,
                )
            readings.append(reading)
        return readings

    def _observe(self, monitor: Monitor, canary: Cohort, baseline: Cohort) -> Reading:
        return monitor.observe(canary, baseline, self._history.span)

    def _describe(self, evaluator: Evaluator) -> Description:
        if isinstance(evaluator, MONITORS):
            return evaluator.describe()
        return evaluator.describe(self._processes)

    def _judge(self, readings: list[Reading], usable: list[bool]) -> None:
        processes, progress = self._processes, self._progress
        for rows, ok in zip(self._layout.rows_of, usable, strict=True):
            if not ok:
                processes.active[rows] = 0.0
        processes.step(onset_weight(progress.judged, self.spec.onset_horizon))
        progress.judged += 1
        binding = [
            ok
            for ok, gate in zip(usable, self.spec.gates, strict=True)
            if gate.authority is not Authority.ADVISE and progress.binds(gate.name)
        ]
        progress.stage_judged += all(binding)
        for index, reading in enumerate(readings):
            progress.missing[index] = 0 if usable[index] else progress.missing[index] + 1
            progress.samples[index] += reading.counts.get("canary_total", 0.0)

    def _mark_unmeasured(self, standings: list[Standing], *, last: bool) -> list[Standing]:
        """Return the standings, at the end of the bake without data where next to nothing was seen."""
        bake = self._progress.bake(last=last)
        if bake.judged < bake.most:
            return standings
        triples = zip(standings, self.spec.gates, self._progress.samples, strict=True)
        return [enough(standing, gate, samples, self.spec.alpha_pass) for standing, gate, samples in triples]

    def _decide(self, standings: list[Standing], fired: bool, *, warm: bool, last: bool) -> Decision:
        progress, spec = self._progress, self.spec
        bake = progress.bake(last=last)
        if spec.sensitivity is Sensitivity.ESTIMATE:
            seen = [self._describe(evaluator) for evaluator in self._history.evaluators]
            standings = [gated(*each) for each in zip(standings, spec.gates, seen, strict=True)]
        decision = decide(
            standings, bake, alpha=spec.alpha, alpha_pass=spec.alpha_pass,
            split_ok=self._split.log_e < LIMIT, catastrophe=fired, must_pass=progress.must_pass,
        )  # fmt: skip
        if progress.breach is not None:
            return replace(decision, word=Word.BREACH, final=True, reason=Reason(progress.breach))
        if decision.word is Word.BREACH:
            progress.breach = decision.reason.value
        elif warm and not last:
            return replace(decision, word=Word.INCONCLUSIVE, final=False, reason=Reason.WARM_UP)
        return decision

    def _absorb(
        self, window: Window, canary: Cohort, baseline: Cohort, readings: list[Reading], *, judged: bool
    ) -> None:
        history = self._history
        if not window.late:
            read = {gate.name: reading for gate, reading in zip(self.spec.gates, readings, strict=True)}
            for comparison in history.comparisons:
                usable = read[comparison.gate.name].no_data is None
                comparison.absorb(canary, baseline, judged=judged and usable)
            for source in history.sources.values():
                source.absorb_baseline(judged=judged)
            if judged:
                residuals: list[Residual | None] = []
                for comparison in history.comparisons:
                    found = read[comparison.gate.name].residuals
                    residuals.extend(found or (None,) * len(comparison.prior_sds))
                history.dispersion.update(residuals, rollout=True)

    def _verdict(
        self, window: Window, decision: Decision, standings: list[Standing], readings: list[Reading],
        evidence: Floats, *, warm: bool,
    ) -> WindowVerdict:  # fmt: skip
        spec, progress = self.spec, self._progress
        gates = self._gates(standings, readings, evidence) if self._report else ()
        named = (("traffic_split", self._split.log_e >= LIMIT), ("late", window.late), ("reset", bool(window.resets)))
        return WindowVerdict(
            word=decision.word,
            final=decision.final,
            reason=decision.reason,
            flags=tuple(name for name, raised in (*named, ("warm_up", warm)) if raised),
            log10_f=decision.log_f / _LN10,
            log10_limit=-math.log10(spec.alpha),
            blamed=decision.blamed,
            judged=progress.judged,
            stage_judged=progress.stage_judged,
            split_log10=self._split.log_e / _LN10,
            gates=gates,
            judge_version=self.parameters.version,
        )

    def _gates(self, standings: list[Standing], readings: list[Reading], evidence: Floats) -> tuple[GateVerdict, ...]:
        log_e = np.log(np.maximum(evidence, 1e-300)).tolist()
        spec, progress, bake = self.spec, self._progress, self._progress.bake()
        found = []
        for at, evaluator in enumerate(self._history.evaluators):
            known = readings[at].no_data is None or breached(standings[at], spec.alpha)
            seen = self._describe(evaluator) if known else Description()
            nulls = evaluator.log_nulls() if isinstance(evaluator, QuantileComparison) else None
            view = GateView(
                evaluator.gate, standings[at], readings[at], seen, self._layout.gates[at], nulls, progress.missing[at],
                spec.sensitivity is Sensitivity.ESTIMATE,
                self._predict(evaluator.gate.name, standings[at], seen, bake),
            )  # fmt: skip
            found.append(gate_verdict(view, log_e, bake, spec.alpha, spec.alpha_pass))
        return tuple(found)

    def _predict(self, name: str, standing: Standing, seen: Description, bake: Bake) -> Prediction | None:
        spec, kept = self.spec, self._progress.predictions
        before = Prediction(*kept[name]) if name in kept else None
        if standing.no_data is not None:
            return None
        found = predicted(standing, seen, bake, spec.alpha, spec.alpha_pass, before)
        kept.pop(name, None)
        if found is not None:
            kept[name] = list(found)
        return found

    def to_doc(self) -> dict[str, Any]:
        """Return the whole state as JSON-able values (under 64 KB); `from_doc` continues bit for bit."""
        processes = self._processes
        return {
            "version": self.parameters.version,
            "gates": [gate.name for gate in self.spec.gates],
            "history": self._history.to_doc(),
            "progress": asdict(self._progress),
            "running": self._catastrophe.running,
            "split": pack(self._split.logs),
            "placing": asdict(self._placing),
            "guarded": self._divisor_split,
            "divisor": pack(processes.divisor),
            "m": pack(processes.m),
            "unspent": pack(processes.unspent),
        }

    @classmethod
    def from_doc(cls, spec: JudgeSpec, doc: dict[str, Any], *, report: bool = True) -> "Judge":
        """Return the judge that `to_doc` wrote, of the same spec.

        Raises:
            InvalidError: the state is of another spec or another version.
        """
        parameters = parameters_of(doc["version"])
        if doc["gates"] != [gate.name for gate in spec.gates]:
            raise InvalidError("judge state", [Problem("gates", "the state belongs to another spec")])
        history = History.from_doc(spec.gates, doc["history"], spec.window_seconds, parameters)
        judge = cls(spec, history, Placing(**doc["placing"]), report=report)
        m, unspent = unpack(doc["m"]), unpack(doc["unspent"])
        if m.shape != judge._processes.m.shape or unspent.shape != judge._processes.unspent.shape:
            raise InvalidError("judge state", [Problem("m", "the state belongs to another spec")])
        judge._processes.m, judge._processes.unspent, judge._processes.divisor = m, unspent, unpack(doc["divisor"])
        judge._processes.evidence()
        judge._divisor_split = doc["guarded"]
        judge._split.restore(unpack(doc["split"]))
        judge._catastrophe.running = doc["running"]
        judge._progress = Progress.from_doc(doc["progress"])
        return judge
