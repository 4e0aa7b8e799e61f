"""Which effect each gate can see within its bake at the traffic it gets, and what would help. Pure arithmetic."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from services.gate_evaluation.judge.evidence.mixtures import kl_inverse
from services.gate_evaluation.judge.gates.burn_rate import PAIRS, BurnRateMonitor
from services.gate_evaluation.judge.gates.counts import CountsComparison, degradation
from services.gate_evaluation.judge.gates.history import History
from services.gate_evaluation.judge.gates.kinds import Comparison
from services.gate_evaluation.judge.gates.own_history import OwnHistoryMonitor
from services.gate_evaluation.judge.noise.dispersion import hidden_noise
from services.gate_evaluation.judge.series.forecast import FEWEST, POINT_S
from services.gate_evaluation.judge.spec import GateKind, GateSpec, JudgeSpec, weights_of
from services.gate_evaluation.power_uncontrolled import Sight, of_burn, of_own_history

_MARGIN_NATS = 3.3
_ERRORS_UNKNOWN = 0.005
_TAIL_SLOPE = 4.0
"""Growth of a tail's log count for each unit of log latency: about what latencies of services show at p99."""
_INSTANCES = 2.0
"""Sum of 1/instances of both cohorts of a gauge, where each has one."""
_LEAST_FLOOR = 0.4
_VISIBLE_AT_MOST = 1e6


class Help(StrEnum):
    """What would let a gate see its own tolerance."""

    LARGER_SHARE = "larger_share"
    LONGER_BAKE = "longer_bake"
    SYNTHETIC_TRAFFIC = "synthetic_traffic"
    POOL_ENDPOINTS = "pool_endpoints"
    ABSOLUTE_TOLERANCE = "absolute_tolerance"
    LONGER_PAST = "longer_past"


@dataclass(frozen=True, slots=True)
class GatePower:
    """What one gate can see.

    Attributes:
        name, kind: the gate.
        events_per_window: canary events at the baseline's rate (gauges: one instance).
        tolerance: relative degradation that the plan calls harmful.
        visible: smallest relative degradation found within the bake in about half of all rollouts.
        windows_for_margin: windows to find a degradation as large as the pass margin (None: never).
        windows_to_pass: windows until an unchanged release can pass (None: never).
        noise: standard deviation of a window's log ratio beyond chance, over its long run; noise_windows: A/A windows
            that taught it, 0 where it is assumed.
        sees_margin: whether the bake finds what the plan refuses to pass.
        helps: what would help, most effective first, each with the factor or number needed.
    """

    name: str
    kind: str
    events_per_window: float
    tolerance: float
    visible: float
    windows_for_margin: float | None
    windows_to_pass: float | None
    noise: float
    noise_windows: float
    sees_margin: bool
    helps: tuple[tuple[Help, float], ...]


@dataclass(frozen=True, slots=True)
class _Noise:
    """What divides a gate's evidence: long-run variance of a window's log ratio, for F (with its safety) and for P.

    `unsure` is its relative error, `plausible` the most that it hides where it shows nothing.
    """

    fail: float
    passing: float
    unsure: float
    plausible: float
    windows: float


def power(
    spec: JudgeSpec, traffic_per_s: float, split: float, rates: Mapping[str, float], history: History | None = None
) -> tuple[GatePower, ...]:
    """Return what every gate can see.

    Args:
        spec: gates, budgets and bake.
        traffic_per_s: requests a second of the whole service.
        split: canary share; 1 is for gates without a control group only.
        rates: baseline rate of each ratio metric (events a request), value of each gauge or count; unknown: as the
            history has it, or 0.5 %.
        history: what A/A windows taught of the same gates; None: the noise that is assumed before any.
    """
    weights = weights_of(spec)
    learned = history if history is not None else History(spec.gates, spec.window_seconds)
    requests = traffic_per_s * spec.window_seconds
    found = []
    for gate, comparison in zip(spec.gates, learned.evaluators, strict=True):
        if isinstance(comparison, BurnRateMonitor):
            found.append(_burn_power(gate, of_burn(gate, spec, requests * split), spec, requests, split))
        elif isinstance(comparison, OwnHistoryMonitor):
            found.append(_past_power(gate, of_own_history(comparison, spec, split), spec))
        elif split < 1.0 or gate.kind is GateKind.SLO:
            rate, noise = _rate(gate, rates, comparison), _noise(gate, comparison, learned)
            found.append(_gate_power(spec, gate, weights[gate.name], requests, split, rate, noise))
    return tuple(found)


def _burn_power(gate: GateSpec, sight: Sight, spec: JudgeSpec, requests: float, split: float) -> GatePower:
    """Return what a burn rate sees: it waits for its short span, and with too little traffic nothing is certain."""
    windows, speaks = sight.windows_for_margin, PAIRS[0].short / spec.window_seconds
    helps: list[tuple[Help, float]] = []
    if speaks > spec.max_bake:
        helps.append((Help.LONGER_BAKE, speaks))
    if sight.more > 1.0 and math.isfinite(sight.more):
        if split * sight.more <= 1.0:
            helps.append((Help.LARGER_SHARE, split * sight.more))
        helps += [(Help.SYNTHETIC_TRAFFIC, requests * sight.more), (Help.POOL_ENDPOINTS, math.ceil(sight.more))]
    return GatePower(
        gate.name, str(gate.kind), sight.events_per_window, sight.tolerance, min(sight.visible, _VISIBLE_AT_MOST),
        windows, 1.0, sight.noise, 0.0, not helps and windows is not None, tuple(helps),
    )  # fmt: skip


def _past_power(gate: GateSpec, sight: Sight, spec: JudgeSpec) -> GatePower:
    helps: list[tuple[Help, float]] = []
    if sight.points < FEWEST:
        helps.append((Help.LONGER_PAST, (FEWEST - sight.points) * POINT_S / 3600.0))
    windows = sight.windows_for_margin or 0.0
    if windows > spec.max_bake:
        helps.append((Help.LONGER_BAKE, windows))
    return GatePower(
        gate.name, str(gate.kind), sight.events_per_window, sight.tolerance, min(sight.visible, _VISIBLE_AT_MOST),
        windows, 1.0, sight.noise, float(sight.points), not helps, tuple(helps),
    )  # fmt: skip


def _noise(gate: GateSpec, comparison: Comparison, learned: History) -> _Noise:
    # A mean has two channels; the count of its tail, the second, is what its power is reckoned by.
    channel = comparison.index + (gate.kind is GateKind.MEAN)
    fail, passing = learned.dispersion.tau2[:, channel].tolist()
    unsure, plausible = float(learned.unsure[0, channel]), float(learned.dispersion.plausible[channel])
    return _Noise(fail, passing, unsure, plausible, float(learned.dispersion.windows[channel]))


def _gate_power(
    spec: JudgeSpec, gate: GateSpec, weight: float, requests: float, split: float, rate: float, noise: _Noise
) -> GatePower:
    need = math.log(1.0 / (spec.alpha * weight)) + _MARGIN_NATS
    events = 1.0 if gate.kind is GateKind.GAUGE else requests * split * rate
    tolerance, margin = degradation(gate.fail_at, rate), degradation(gate.pass_at, rate)
    # An objective is a test of the canary alone; all others share the nats with the baseline's own chance.
    per_window = events if gate.kind is GateKind.SLO else events * (1.0 - split)
    wary = need * (_phi(gate, noise.fail, per_window, rate) + _doubt(gate, noise, per_window, split))
    visible = _visible(gate, wary, per_window, spec.max_bake, tolerance)
    found = _windows(gate, wary, per_window, tolerance, margin)
    clear = math.log(1.0 / spec.alpha_pass) + 1.0
    passing = _windows(gate, clear * _phi(gate, noise.passing, per_window, rate), per_window, 0.0, margin)
    sees = found is not None and found <= spec.max_bake
    return GatePower(
        gate.name, str(gate.kind), events, tolerance, visible, found, passing,
        math.sqrt(noise.passing), noise.windows, sees,
        () if sees else _helps(gate, found, spec.max_bake, split, requests),
    )  # fmt: skip


def _phi(gate: GateSpec, variance: float, events: float, rate: float) -> float:
    """Return what divides the nats of a window: of a gauge, the variance of its log ratio itself."""
    if gate.kind is GateKind.GAUGE:
        return variance * _INSTANCES
    return max(1.0 - rate, _LEAST_FLOOR) + events * variance


def _doubt(gate: GateSpec, noise: _Noise, events: float, split: float) -> float:
    """Return what is added to that of counts for noise that the history may hide."""
    if gate.kind is GateKind.GAUGE:
        return 0.0
    shares = (noise.unsure, 4.0 * split * (1.0 - split), events * noise.fail, events * noise.plausible)
    unsure, even, known, most = (np.array([share]) for share in shares)
    return float(hidden_noise(unsure, even, known, most)[0])


def _rate(gate: GateSpec, rates: Mapping[str, float], comparison: Comparison) -> float:
    if gate.kind in (GateKind.QUANTILE, GateKind.MEAN):
        return 1.0 - (gate.q if gate.q is not None else 0.995)
    if gate.kind is GateKind.SLO:
        return 1.0 - gate.q if gate.q is not None else gate.slo_max or _ERRORS_UNKNOWN
    known = _ERRORS_UNKNOWN
    if isinstance(comparison, CountsComparison) and comparison.rates.seen >= 1:
        known = comparison.rates.rate
    return max(rates.get(gate.metric, known), 1e-9)


def _slope(gate: GateSpec) -> float:
    """Return how fast the log of the event rate grows with the log of the metric."""
    return _TAIL_SLOPE if gate.kind in (GateKind.QUANTILE, GateKind.MEAN) else 1.0


def _visible(gate: GateSpec, need: float, events: float, bake: int, tolerance: float) -> float:
    if gate.kind is GateKind.GAUGE:
        return (1.0 + tolerance) * math.exp(math.sqrt(2.0 * need / bake)) - 1.0
    base = events * (1.0 + tolerance if _slope(gate) == 1.0 else 1.0)
    effect = kl_inverse(need / max(base * bake, 1e-12), top=14.0) / _slope(gate)
    return min((1.0 + tolerance) * math.exp(min(effect, 13.0)) - 1.0, _VISIBLE_AT_MOST)


def _windows(gate: GateSpec, need: float, events: float, null: float, effect: float) -> float | None:
    """Return the windows that tell a degradation of `effect` from one of `null` (or the other way round)."""
    step = math.log1p(effect) - math.log1p(null)
    if not step > 0 or not events > 0:
        return None
    if gate.kind is GateKind.GAUGE:
        return math.ceil(2.0 * need / step**2)
    u = step * _slope(gate)
    base = events * (1.0 + null if _slope(gate) == 1.0 else 1.0)
    nats = base * (u * math.exp(u) - math.exp(u) + 1.0) if u < 13 else base * math.exp(13.0)
    return math.ceil(need / nats)


def _helps(
    gate: GateSpec, found: float | None, bake: int, split: float, requests: float
) -> tuple[tuple[Help, float], ...]:
    factor = math.inf if found is None else found / bake
    helps: list[tuple[Help, float]] = []
    if gate.kind is not GateKind.GAUGE and split * factor <= 0.5:
        helps.append((Help.LARGER_SHARE, split * factor))
    if found is not None:
        helps.append((Help.LONGER_BAKE, found))
    if gate.kind is not GateKind.GAUGE and math.isfinite(factor):
        helps.append((Help.SYNTHETIC_TRAFFIC, requests * factor))
        helps.append((Help.POOL_ENDPOINTS, math.ceil(factor)))
    if gate.kind is GateKind.RATIO and gate.fail_at.absolute == 0:
        helps.append((Help.ABSOLUTE_TOLERANCE, 0.0))
    return tuple(helps)


def rendered(found: Sequence[GatePower]) -> list[dict[str, object]]:
    """Return rows for a table, as JSON-able values."""
    return [
        {
            "gate": gate.name,
            "kind": gate.kind,
            "events_per_window": gate.events_per_window,
            "tolerance": gate.tolerance,
            "visible": gate.visible,
            "windows_for_margin": gate.windows_for_margin,
            "windows_to_pass": gate.windows_to_pass,
            "noise": gate.noise,
            "noise_windows": gate.noise_windows,
            "sees_margin": gate.sees_margin,
            "helps": [{"help": helped.value, "needs": needs} for helped, needs in gate.helps],
        }
        for gate in found
    ]
