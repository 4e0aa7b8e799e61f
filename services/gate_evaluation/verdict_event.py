"""Translates the judge's verdict into the event `stage.judged`."""

import math
from datetime import timedelta
from typing import Any

from penstock import ids
from penstock.events import Authority, Doubt, GateVerdict, NoDataReason, Side, StageJudged, WindowClosed, Word
from penstock.events.verdicts import Deciding, Direction, Outlook
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
from penstock.plan.model import OnInconclusive
from penstock.rollout import Phase, RolloutState
from services.gate_evaluation import judge
from services.gate_evaluation.judge.decision.deciding_bounds import consistent

_REASON_OF = {
    **dict.fromkeys(set(Doubt) - {Doubt.BAD_NEVER_SEEN}, NoDataReason.METRIC_NEVER_SEEN),
    Doubt.NO_TRAFFIC: NoDataReason.NO_TRAFFIC,
    Doubt.TOO_MANY_SERIES: NoDataReason.TOO_FEW_SAMPLES,
    Doubt.MORE_BAD_THAN_ALL: NoDataReason.TOO_FEW_SAMPLES,
    Doubt.UNATTRIBUTED: NoDataReason.UNATTRIBUTED,
    Doubt.TWO_WRITERS: NoDataReason.UNATTRIBUTED,
    Doubt.POINTS_DROPPED: NoDataReason.LATE_DATA,
}
_ABSENT = {NoDataReason.TELEMETRY_OUTAGE, NoDataReason.METRIC_NEVER_SEEN}
_IN_UNITS = (QuantileGate, MeanGate, GaugeGate, OwnHistoryGate)
_DIRECTED = (RatioGate, GaugeGate, CountGate, OwnHistoryGate)
_UNDECIDED = {
    OnInconclusive.EXTEND: Outlook.EXTENDED,
    OnInconclusive.HOLD: Outlook.HELD,
    OnInconclusive.ROLLBACK: Outlook.ROLLED_BACK,
    OnInconclusive.PROMOTE_IF_BOUNDED: Outlook.BOUNDED,
}
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
        gates=tuple(_gate(plan, rollout, gate, verdict, window) for gate in verdict.gates),
        blamed=verdict.blamed if breach else (),
        blocked_by=(Authority.HOLD if held else Authority.ROLLBACK) if breach else None,
        flags=flags,
        judge=verdict.judge_version,
        plan_hash=hash_of(plan_text),
        evidence=_finite(verdict.log10_f),
        threshold=verdict.log10_limit,
    )


def _gate(
    plan: Plan, rollout: RolloutState, gate: judge.GateVerdict, verdict: judge.WindowVerdict, window: WindowClosed
) -> GateVerdict:
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
    detail |= _of_plan(planned)
    fails, passes = _deciding(planned, gate)
    outlook = _outlook(plan, rollout, gate)
    ahead = None
    if outlook is not None and gate.windows_needed is not None:
        ahead = gate.windows_needed * (window.end - window.start)
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
        fails=fails,
        passes=passes,
        outlook=outlook,
        decides_in=None if ahead is None else ahead / timedelta(seconds=1),
        decides_at=None if ahead is None else window.end + ahead,
    )


def _deciding(planned: Gate, gate: judge.GateVerdict) -> tuple[Deciding | None, Deciding | None]:
    """Return what decides a breach and a pass, in both measures."""
    fails, passes = gate.fails, gate.passes
    absolute: tuple[judge.Deciding | None, judge.Deciding | None] = (None, None)
    if gate.baseline is not None and isinstance(planned, (RatioGate, *_IN_UNITS)):
        margins = planned.margins() if isinstance(planned, RatioGate) else (None, None)
        absolute = consistent(
            _in_units(fails, gate.baseline, margins[0]), _in_units(passes, gate.baseline, margins[1]),
            gate.estimate_absolute, breach=gate.word is judge.Word.BREACH, passed=gate.word is judge.Word.PASSED,
        )  # fmt: skip
    return _both(fails, absolute[0]), _both(passes, absolute[1])


def _in_units(found: judge.Deciding | None, baseline: float, margin: Any) -> judge.Deciding | None:
    """Return line and bound in the metric's unit: the line of a share is the plan's own, whatever the present rate."""
    if found is None or not math.isfinite(found.line):
        return None
    level = baseline
    if margin is not None and margin.absolute and found.line:
        level = max(margin.absolute, margin.relative * baseline) / abs(found.line)
    bound = None if found.bound is None else found.bound * level
    return judge.Deciding(found.line * level, bound, found.down, found.error)


def _both(relative: judge.Deciding | None, absolute: judge.Deciding | None) -> Deciding | None:
    if relative is None or _finite(relative.line) is None:
        return None
    return Deciding(
        line=relative.line,
        bound=_finite(relative.bound),
        absolute_line=None if absolute is None else _finite(absolute.line),
        absolute_bound=None if absolute is None else _finite(absolute.bound),
        worse=Direction.DOWN if relative.down else Direction.UP,
        error=relative.error,
    )


def _outlook(plan: Plan, rollout: RolloutState, gate: judge.GateVerdict) -> Outlook | None:
    """Return how the gate is likely to end; a bake without a decision ends as the plan says."""
    if gate.outlook is None or rollout.phase not in (Phase.BAKING, Phase.SOAKING):
        return None
    if gate.outlook is not judge.Outlook.UNDECIDED:
        return Outlook(gate.outlook)
    stage = plan.stages[rollout.index] if 0 <= rollout.index < len(plan.stages) else None
    if gate.authority == Authority.ADVISE or stage is None:
        return None
    if stage.gates is not None and gate.name not in stage.gates:
        return None
    if stage.on_inconclusive is OnInconclusive.EXTEND and rollout.extended:
        return Outlook.HELD
    return _UNDECIDED[stage.on_inconclusive]


def _side(gate: judge.GateVerdict, cohort: str, value: float | None) -> Side:
    """Return what a cohort showed; a gauge counts instances, which are no events."""
    events = None if gate.kind == "gauge" else _finite(gate.counts.get(cohort))
    return Side(n=gate.counts.get(f"{cohort}_total", 0.0), events=events, value=_finite(value))


def _of_plan(gate: Gate) -> dict[str, Any]:
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
