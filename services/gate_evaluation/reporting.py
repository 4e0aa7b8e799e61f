"""From the judge's verdict to the event that carries it."""

from typing import Any

from penstock import ids
from penstock.events import Authority, GateVerdict, NoDataReason, Side, StageJudged, WindowClosed, Word
from penstock.plan import Plan, hash_of
from penstock.plan.gates import GaugeGate, MeanGate, QuantileGate
from penstock.rollout import RolloutState

from . import judge

SOURCE = "/penstock/gate_evaluation"


def report(
    plan: Plan, plan_text: str, rollout: RolloutState, window: WindowClosed, verdict: judge.WindowVerdict, final: bool
) -> StageJudged:
    """Return the event; `final` says whether rollout control must act on it."""
    held = verdict.reason is judge.Reason.HELD
    breach = verdict.word is judge.Word.BREACH or held
    flags = (*verdict.flags, str(verdict.reason))
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
        gates=tuple(_gate(plan, gate, verdict) for gate in verdict.gates),
        blamed=verdict.blamed if breach else (),
        blocked_by=(Authority.HOLD if held else Authority.ROLLBACK) if breach else None,
        flags=flags,
        judge=verdict.judge_version,
        plan_hash=hash_of(plan_text),
        evidence=_finite(verdict.log10_f),
        threshold=verdict.log10_limit,
    )


def _gate(plan: Plan, gate: judge.GateVerdict, verdict: judge.WindowVerdict) -> GateVerdict:
    planned = plan.gates[gate.name]
    unit = planned.unit if isinstance(planned, QuantileGate | MeanGate | GaugeGate) else None
    detail: dict[str, Any] = {key: value for key, value in gate.detail.items() if _finite(value) is not None}
    detail |= {f"window_{name}": value for name, value in gate.counts.items()}
    for name in ("limit_absolute", "pass_asked", "pass_effective", "samples_needed", "weight"):
        if (value := getattr(gate, name)) is not None:
            detail[name] = value
    return GateVerdict(
        gate=gate.name,
        kind=gate.kind,
        word=Word(gate.word),
        final=gate.final,
        authority=Authority(gate.authority),
        canary=Side(n=gate.counts.get("canary_total", 0.0), value=_finite(gate.canary)),
        baseline=Side(n=gate.counts.get("baseline_total", 0.0), value=_finite(gate.baseline)),
        estimate=_finite(gate.estimate),
        low=_finite(gate.low),
        high=_finite(gate.high),
        absolute=_finite(gate.estimate_absolute),
        absolute_low=_times(gate.low, gate.baseline),
        absolute_high=_times(gate.high, gate.baseline),
        unit=unit or None,
        tolerance=gate.tolerance_asked,
        tolerance_effective=_finite(gate.tolerance_effective),
        evidence=_finite(gate.log10_f),
        evidence_pass=_finite(gate.log10_p),
        threshold=verdict.log10_limit,
        windows_needed=gate.windows_needed,
        no_data=NoDataReason(gate.no_data) if gate.no_data is not None else None,
        flags=("blamed",) if gate.blamed else (),
        detail=detail,
    )


def _finite(value: float | None) -> float | None:
    return None if value is None or value != value or value in (float("inf"), float("-inf")) else float(value)


def _times(share: float | None, value: float | None) -> float | None:
    return None if share is None or value is None else _finite(share * value)
