"""Translates the judge's verdict into the event `stage.judged`."""

import math
from typing import Any

from penstock import ids
from penstock.events import Authority, Doubt, GateVerdict, NoDataReason, Side, StageJudged, WindowClosed, Word
from penstock.events.verdicts import Direction
from penstock.plan import (
    BurnRateGate,
    CountGate,
    Gate,
    GaugeGate,
    MeanGate,
    OwnHistoryGate,
    Plan,
    QuantileGate,
    RatioGate,
    SloGate,
    hash_of,
    reads_of,
)
from penstock.rollout import RolloutState
from services.gate_evaluation import judge

_REASON_OF = {
    **dict.fromkeys(set(Doubt) - {Doubt.BAD_NEVER_SEEN}, NoDataReason.METRIC_NEVER_SEEN),
    Doubt.NO_TRAFFIC: NoDataReason.NO_TRAFFIC,
    Doubt.TOO_MANY_SERIES: NoDataReason.TOO_FEW_SAMPLES,
    Doubt.MORE_BAD_THAN_ALL: NoDataReason.TOO_FEW_SAMPLES,
}
_ABSENT = {NoDataReason.TELEMETRY_OUTAGE, NoDataReason.METRIC_NEVER_SEEN}
_IN_UNITS = (QuantileGate, MeanGate, GaugeGate, OwnHistoryGate)
_DIRECTED = (RatioGate, GaugeGate, CountGate, OwnHistoryGate)
SOURCE = "/penstock/gate_evaluation"


def report(
    plan: Plan, plan_text: str, rollout: RolloutState, window: WindowClosed, verdict: judge.WindowVerdict, final: bool
) -> StageJudged:
    """Return the event; `final` says whether rollout control must act on it."""
    held = verdict.reason is judge.Reason.HELD
    breach = verdict.word is judge.Word.BREACH or held
    flags = tuple(dict.fromkeys((*verdict.flags, str(verdict.reason))))
    return StageJudged(
        id=ids.derive("stage.judged", window.id, rollout.entry or ""),
        source=SOURCE,
        target=window.target,
        time=window.end,
        rollout=rollout.id,
        cause=window.id,
        stage=rollout.stage or "",
        entry=rollout.entry or "",
        window=window.id,
        window_end=window.end,
        judged=verdict.stage_judged,
        word=Word.BREACH if breach else Word(verdict.word),
        final=final,
        gates=tuple(_gate(plan, gate, verdict, window) for gate in verdict.gates),
        blamed=verdict.blamed if breach else (),
        blocked_by=(Authority.HOLD if held else Authority.ROLLBACK) if breach else None,
        flags=flags,
        judge=verdict.judge_version,
        plan_hash=hash_of(plan_text),
        evidence=_finite(verdict.log10_f),
        threshold=verdict.log10_limit,
    )


def _gate(plan: Plan, gate: judge.GateVerdict, verdict: judge.WindowVerdict, window: WindowClosed) -> GateVerdict:
    doubt = window.doubts.get(gate.name)
    planned = plan.gates[gate.name]
    unit = planned.unit if isinstance(planned, _IN_UNITS) else None
    direction = planned.direction if isinstance(planned, _DIRECTED) else Direction.UP
    detail: dict[str, Any] = {key: value for key, value in gate.detail.items() if _finite(value) is not None}
    detail |= {f"window_{name}": value for name, value in gate.counts.items()}
    for name in ("limit_absolute", "pass_asked", "pass_effective", "samples_needed", "weight", "recent"):
        if (value := getattr(gate, name)) is not None:
            detail[name] = value
    tolerance = planned.margins()[0]
    if tolerance is not None and tolerance.absolute:
        detail["tolerance_absolute"] = tolerance.absolute
    detail |= _told(planned)
    return GateVerdict(
        gate=gate.name,
        kind=gate.kind,
        word=Word(gate.word),
        final=gate.final,
        authority=Authority(gate.authority),
        canary=_side(gate, "canary", gate.canary),
        baseline=_side(gate, "baseline", gate.baseline),
        estimate=_finite(gate.estimate),
        low=_finite(gate.low),
        high=_finite(gate.high),
        absolute=_finite(gate.estimate_absolute),
        absolute_low=_times(gate.low, gate.baseline),
        absolute_high=_times(gate.high, gate.baseline),
        unit=unit or None,
        tolerance=gate.tolerance_asked,
        tolerance_effective=_finite(gate.tolerance_effective),
        direction=None if direction is Direction.UP else direction,
        evidence=_finite(gate.log10_f),
        # What an alarm on the past has not raised is evidence of nothing.
        evidence_pass=None if isinstance(planned, OwnHistoryGate | BurnRateGate) else _finite(gate.log10_p),
        threshold=verdict.log10_limit,
        threshold_pass=-math.log10(plan.budget.false_pass),
        windows_needed=gate.windows_needed,
        no_data=_no_data(gate, doubt),
        doubt=doubt,
        flags=("blamed",) if gate.blamed else (),
        detail=detail,
    )


def _side(gate: judge.GateVerdict, cohort: str, value: float | None) -> Side:
    """Return what a cohort showed; a gauge counts instances, which are no events."""
    events = None if gate.kind == "gauge" else _finite(gate.counts.get(cohort))
    return Side(n=gate.counts.get(f"{cohort}_total", 0.0), events=events, value=_finite(value))


def _told(gate: Gate) -> dict[str, Any]:
    """Return what the plan says that a reader of the numbers needs."""
    match gate:
        case SloGate(quantile=float() as quantile):
            return {"quantile": quantile, "limit_unit": gate.unit}
        case OwnHistoryGate():
            return {"follows": str(reads_of(gate))}
        case _:
            return {}


def _no_data(gate: judge.GateVerdict, doubt: Doubt | None) -> NoDataReason | None:
    """Return the judge's reason, or the one that ingestion's doubt gives where the metric came in an unusable form."""
    if gate.no_data is None:
        return None
    reason = NoDataReason(gate.no_data)
    return _REASON_OF.get(doubt, reason) if doubt is not None and reason in _ABSENT else reason


def _finite(value: float | None) -> float | None:
    return None if value is None or value != value or value in (float("inf"), float("-inf")) else float(value)


def _times(share: float | None, value: float | None) -> float | None:
    return None if share is None or value is None else _finite(share * value)
