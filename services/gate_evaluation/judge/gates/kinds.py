"""The two protocols of gates, and which class evaluates which kind."""

from collections.abc import Sequence
from typing import Protocol, assert_never

import numpy as np

from services.gate_evaluation.judge.arrays import Floats
from services.gate_evaluation.judge.evidence.e_processes import EProcesses
from services.gate_evaluation.judge.evidence.gate_rows import Context, GateRow
from services.gate_evaluation.judge.evidence.reading import Description, Reading
from services.gate_evaluation.judge.gates.burn_rate import BurnRateMonitor
from services.gate_evaluation.judge.gates.counts import CountsComparison
from services.gate_evaluation.judge.gates.gauge import GaugeComparison
from services.gate_evaluation.judge.gates.mean import MeanComparison
from services.gate_evaluation.judge.gates.own_history import OwnHistoryMonitor
from services.gate_evaluation.judge.gates.quantile import QuantileComparison
from services.gate_evaluation.judge.gates.slo import SloComparison
from services.gate_evaluation.judge.measures import Cohort
from services.gate_evaluation.judge.series.rolling_counts import Span
from services.gate_evaluation.judge.series.tails import TailSource
from services.gate_evaluation.judge.spec import GateKind, GateSpec, Margin
from services.gate_evaluation.judge.versions import CURRENT, Parameters


class Comparison(Protocol):
    """A gate whose evidence is a set of e-processes: rows that it writes in every window.

    `index` is the first of its noise channels; `prior_sds` holds the prior standard deviation of each.
    """

    gate: GateSpec
    index: int

    @property
    def prior_sds(self) -> tuple[float, ...]: ...
    def start_rollout(self) -> None: ...
    def set_tolerance(self, margin: Margin) -> None: ...
    def anchor(self) -> list[float]: ...
    def rows(self, context: Context, anchor: Sequence[float]) -> list[GateRow]: ...
    def bind(self, processes: EProcesses, rows: list[tuple[int, GateRow]]) -> None: ...
    def read(self, processes: EProcesses, canary: Cohort, baseline: Cohort) -> Reading: ...
    def absorb(self, canary: Cohort, baseline: Cohort, *, judged: bool) -> None: ...
    def describe(self, processes: EProcesses) -> Description: ...
    def to_doc(self) -> dict[str, object]: ...
    def restore(self, doc: dict[str, object]) -> None: ...


class Monitor(Protocol):
    """A gate that keeps its own evidence: no control, no e-processes, and so never authority to roll back."""

    gate: GateSpec

    def start_rollout(self) -> None: ...
    def observe(self, canary: Cohort, baseline: Cohort, span: Span) -> Reading: ...
    def describe(self) -> Description: ...
    def to_doc(self) -> dict[str, object]: ...
    def restore(self, doc: dict[str, object]) -> None: ...


WITH_RESIDUALS = CountsComparison | QuantileComparison | MeanComparison | GaugeComparison
"""Comparisons of two cohorts: halves of the stable fleet teach them how far cohorts differ."""
WITH_LEVEL = CountsComparison | GaugeComparison
"""Comparisons that keep a level of their own; those of histograms read it from their source."""
WITH_EVENTS = CountsComparison | QuantileComparison | MeanComparison
"""Comparisons of counts: they have an expected number of events a window."""


MONITORS = BurnRateMonitor | OwnHistoryMonitor
Evaluator = Comparison | BurnRateMonitor | OwnHistoryMonitor


def build(gates: Sequence[GateSpec], parameters: Parameters = CURRENT) -> tuple[list[Evaluator], dict[str, TailSource]]:
    """Return a comparison or monitor for each gate, in order, and the histogram sources that they share."""
    found: list[Evaluator] = []
    sources: dict[str, TailSource] = {}
    channel = 0
    for gate in gates:
        if gate.kind is GateKind.BURN_RATE:
            found.append(BurnRateMonitor(gate))
        elif gate.kind is GateKind.OWN_HISTORY:
            found.append(OwnHistoryMonitor(gate))
        else:
            comparison = _comparison(gate, channel, sources, parameters)
            channel += len(comparison.prior_sds)
            found.append(comparison)
    return found, sources


def _comparison(gate: GateSpec, channel: int, sources: dict[str, TailSource], parameters: Parameters) -> Comparison:
    match gate.kind:
        case GateKind.RATIO | GateKind.COUNT:
            return CountsComparison(gate, channel, parameters)
        case GateKind.QUANTILE:
            source = sources.setdefault(gate.metric, TailSource(gate.metric))
            return QuantileComparison(gate, channel, source, parameters)
        case GateKind.GAUGE:
            return GaugeComparison(gate, channel)
        case GateKind.MEAN:
            return MeanComparison(gate, channel, sources.setdefault(gate.metric, TailSource(gate.metric)), parameters)
        case GateKind.SLO:
            return SloComparison(gate, channel)
        case GateKind.BURN_RATE | GateKind.OWN_HISTORY:
            raise ValueError(f"a {gate.kind} gate has no e-processes")
        case _:
            assert_never(gate.kind)


def comparisons_of(evaluators: Sequence[Evaluator]) -> list[Comparison]:
    """Return the evaluators that have e-processes."""
    return [each for each in evaluators if not isinstance(each, MONITORS)]


def priors(comparisons: Sequence[Comparison]) -> Floats:
    """Return the prior standard deviation of every channel."""
    return np.array([sd for comparison in comparisons for sd in comparison.prior_sds])
