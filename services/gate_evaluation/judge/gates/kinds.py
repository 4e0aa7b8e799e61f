"""From gates to comparisons: which code reads which kind, and which dispersion lane each has."""

from collections.abc import Sequence
from typing import Protocol, assert_never

import numpy as np

from services.gate_evaluation.judge.evidence.e_processes import Bank
from services.gate_evaluation.judge.evidence.gate_rows import Context, Part
from services.gate_evaluation.judge.evidence.mixtures import Floats
from services.gate_evaluation.judge.evidence.reading import Description, Reading
from services.gate_evaluation.judge.gates.burn_rate import BurnComparison
from services.gate_evaluation.judge.gates.counts import CountsComparison
from services.gate_evaluation.judge.gates.gauge import GaugeComparison
from services.gate_evaluation.judge.gates.mean import MeanComparison
from services.gate_evaluation.judge.gates.own_history import OwnHistoryComparison
from services.gate_evaluation.judge.gates.quantile import QuantileComparison
from services.gate_evaluation.judge.gates.slo import SloComparison
from services.gate_evaluation.judge.measures import Cohort
from services.gate_evaluation.judge.noise.dispersion import Residual
from services.gate_evaluation.judge.series.tails import TailSource
from services.gate_evaluation.judge.spec import GateKind, GateSpec, Margin


class Comparison(Protocol):
    """What every kind of gate can do; see the modules for what each means by it."""

    gate: GateSpec
    index: int

    @property
    def prior_sds(self) -> tuple[float, ...]:
        """Prior standard deviation of each of its lanes."""
        ...

    def begin(self) -> None: ...
    def relax(self, margin: Margin) -> None: ...
    def anchor(self) -> list[float]: ...
    def parts(self, context: Context, anchor: Sequence[float]) -> list[Part]: ...
    def bind(self, bank: Bank, rows: list[tuple[int, Part]]) -> None: ...
    def learn(self, a: Cohort, b: Cohort) -> list[Residual | None]: ...
    def absorb_pair(self, a: Cohort, b: Cohort) -> None: ...
    def read(self, bank: Bank, canary: Cohort, baseline: Cohort) -> Reading: ...
    def absorb(self, canary: Cohort, baseline: Cohort, *, judged: bool) -> None: ...
    def log_nulls(self) -> Floats | None: ...
    def volumes(self) -> tuple[float, ...]: ...
    def describe(self, bank: Bank) -> Description: ...
    def to_doc(self) -> dict[str, object]: ...
    def restore(self, doc: dict[str, object]) -> None: ...


def build(gates: Sequence[GateSpec]) -> tuple[list[Comparison], dict[str, TailSource]]:
    """Return a comparison for each gate, in order, and the histogram sources that they share."""
    found: list[Comparison] = []
    sources: dict[str, TailSource] = {}
    lane = 0
    for gate in gates:
        comparison = _one(gate, lane, sources)
        lane += len(comparison.prior_sds)
        found.append(comparison)
    return found, sources


def _one(gate: GateSpec, lane: int, sources: dict[str, TailSource]) -> Comparison:
    match gate.kind:
        case GateKind.RATIO | GateKind.COUNT:
            return CountsComparison(gate, lane)
        case GateKind.QUANTILE:
            return QuantileComparison(gate, lane, sources.setdefault(gate.metric, TailSource(gate.metric)))
        case GateKind.GAUGE:
            return GaugeComparison(gate, lane)
        case GateKind.MEAN:
            return MeanComparison(gate, lane, sources.setdefault(gate.metric, TailSource(gate.metric)))
        case GateKind.SLO:
            return SloComparison(gate, lane)
        case GateKind.BURN_RATE:
            return BurnComparison(gate, lane)
        case GateKind.OWN_HISTORY:
            return OwnHistoryComparison(gate, lane)
        case _:
            assert_never(gate.kind)


def priors(comparisons: Sequence[Comparison]) -> Floats:
    """Return the prior standard deviation of every lane."""
    return np.array([sd for comparison in comparisons for sd in comparison.prior_sds])
