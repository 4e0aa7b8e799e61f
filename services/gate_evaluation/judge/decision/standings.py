"""Combines the rows of each gate to F and P, and sets aside evidence that must not count."""

import math
from collections.abc import Sequence

from msgspec.structs import replace

from services.gate_evaluation.judge.arrays import Floats
from services.gate_evaluation.judge.decision.rule import Standing
from services.gate_evaluation.judge.evidence.reading import Description, Reading
from services.gate_evaluation.judge.gates.layout import GateLayout
from services.gate_evaluation.judge.spec import Direction, GateKind, GateSpec, JudgeSpec
from services.gate_evaluation.judge.verdict import NoData

_FEWEST = 20.0
_BY_REQUEST = (GateKind.RATIO, GateKind.QUANTILE, GateKind.MEAN, GateKind.SLO)
_CERTAIN = 690.0
_NOTHING = 1e-300


def standings_of(
    spec: JudgeSpec,
    weights: dict[str, float],
    layouts: Sequence[GateLayout],
    readings: Sequence[Reading],
    evidence: Floats,
) -> list[Standing]:
    """Return every gate's evidence, in the plan's order."""
    values = evidence.tolist()
    found = []
    for gate, layout, reading in zip(spec.gates, layouts, readings, strict=True):
        if layout.fail:
            f, p = _mixed(values, layout.fail), min([_mixed(values, group) for group in layout.passing])
            logs = math.log(max(f, _NOTHING)), math.log(max(p, _NOTHING))
        else:
            logs = _kept_apart(reading, spec.alpha)
        found.append(Standing(gate.name, gate.authority, weights[gate.name], *logs, reading.no_data))
    return found


def _mixed(values: list[float], rows: tuple[tuple[int, float], ...]) -> float:
    """Return the weighted sum of some rows' evidence."""
    found = 0.0
    for row, weight in rows:
        found += weight * values[row]
    return found


def _kept_apart(reading: Reading, alpha: float) -> tuple[float, float]:
    """Return the evidence of a gate without rows: its own limit stands where the rule expects 1/alpha."""
    if reading.beyond is None:
        return 0.0, 0.0
    return reading.beyond - math.log(alpha), -_CERTAIN if reading.beyond >= 0 else _CERTAIN


def gated(standing: Standing, gate: GateSpec, seen: Description) -> Standing:
    """Sensitivity `estimate`: evidence of harm counts only while the running estimate is beyond the tolerance."""
    if seen.canary is None or not seen.baseline:
        return replace(standing, log_f=-_CERTAIN)
    change = seen.canary / seen.baseline - 1.0
    beyond = {Direction.UP: change, Direction.DOWN: -change, Direction.BOTH: abs(change)}[gate.bad]
    return standing if beyond > seen.tolerance else replace(standing, log_f=-_CERTAIN)


def enough(standing: Standing, gate: GateSpec, samples: float, alpha_pass: float) -> Standing:
    """At the end of the bake a gate that saw next to nothing has no data, rather than an open question."""
    few = gate.kind in _BY_REQUEST and samples < _FEWEST
    if few and standing.log_p < -math.log(alpha_pass) and standing.no_data is None:
        return replace(standing, no_data=NoData.TOO_FEW_SAMPLES)
    return standing
