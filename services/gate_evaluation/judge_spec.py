"""Translates a plan into the judge's specification: gates, budgets, bakes."""

from dataclasses import replace
from functools import lru_cache
from typing import assert_never

from penstock.plan import (
    BurnRateGate,
    CountGate,
    Gate,
    GaugeGate,
    Margin,
    MeanGate,
    OwnHistoryGate,
    Plan,
    QuantileGate,
    RatioGate,
    Reads,
    ShareMargin,
    SloGate,
    load_plan,
    reads_of,
)
from services.gate_evaluation import judge as j

_PER_SECOND = {"s": 1.0, "ms": 1000.0}


@lru_cache(maxsize=256)
def judge_spec(plan_text: str) -> j.JudgeSpec:
    """Return the judge's spec of a plan: all gates, the budget of the whole rollout, the first stage's bake."""
    plan = load_plan(plan_text)
    first = plan.stages[0].bake
    soak = plan.soak.windows if plan.soak is not None else 0
    splits = {stage.exposure for stage in plan.stages if stage.exposure < 1.0}
    if plan.soak is not None and plan.soak.holdback > 0:
        splits.add(1.0 - plan.soak.holdback)
    return j.JudgeSpec(
        gates=gate_specs(plan),
        alpha=plan.budget.false_rollback,
        alpha_pass=plan.budget.false_pass,
        min_bake=first.min,
        max_bake=first.max,
        horizon=sum(stage.bake.max for stage in plan.stages) + soak,
        window_seconds=plan.windows.length,
        splits=tuple(sorted(splits)) or (0.5,),
        sensitivity=j.Sensitivity(plan.budget.sensitivity),
    )


def gate_specs(plan: Plan) -> tuple[j.GateSpec, ...]:
    """Return the plan's gates in its order."""
    return tuple(_gate(name, gate) for name, gate in plan.gates.items())


def _gate(name: str, gate: Gate) -> j.GateSpec:
    common = j.GateSpec(
        name, metric_key(gate), j.GateKind(gate.kind), authority=j.Authority(gate.authority), weight=gate.weight
    )
    match gate:
        case RatioGate() | GaugeGate() | CountGate():
            return replace(
                common,
                bad=j.Direction(gate.direction),
                tolerance=_margin(gate.tolerance),
                pass_margin=_margin(gate.pass_margin),
            )
        case MeanGate():
            return replace(common, tolerance=_margin(gate.tolerance), pass_margin=_margin(gate.pass_margin))
        case QuantileGate():
            passing = _margin(gate.pass_margin) if gate.pass_margin is not None else None
            return replace(common, q=gate.quantile, tolerance=_margin(gate.tolerance), pass_margin=passing)
        case SloGate():
            most = gate.objective if gate.below is None else gate.below * _PER_SECOND[gate.unit]
            return replace(common, q=gate.quantile, slo_max=most, pass_margin=_margin(gate.pass_margin))
        case OwnHistoryGate():
            return replace(common, q=gate.quantile, bad=j.Direction(gate.direction))
        case BurnRateGate():
            # The plan states the largest share of bad events, the judge the share of good ones.
            return replace(common, objective=1.0 - gate.objective, period=gate.period)
        case _:
            assert_never(gate)


def _margin(margin: Margin | ShareMargin) -> j.Margin:
    return j.Margin(margin.relative, margin.absolute)


def metric_key(gate: Gate) -> str:
    """Return what a gate reads: gates with the same key share one reading of the window."""
    where = ",".join(f"{name}={value}" for name, value in sorted(gate.where.items()))
    reads = reads_of(gate)
    if reads is not Reads.SHARE:
        return f"{reads}|{gate.metric}|{where}"
    assert isinstance(gate, RatioGate | SloGate | BurnRateGate | OwnHistoryGate)
    bad = gate.bad_metric or ",".join(f"{name}={value}" for name, value in sorted(gate.bad.items()))
    return f"{reads}|{gate.metric}|{where}|{bad}"
