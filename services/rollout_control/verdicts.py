"""What a verdict does: a breach rolls back at once, a pass promotes, and nothing but a pass ever promotes."""

from penstock.events import (
    Authority,
    GateVerdict,
    Ground,
    NoDataReason,
    RolloutResumed,
    StageExtended,
    StageJudged,
    Why,
    Word,
)
from penstock.plan import NoDataAction, OnInconclusive
from penstock.rollout import LIVE, Phase
from services.rollout_control.bounded import bounded
from services.rollout_control.draft import RolloutDraft, ground_of


def on_stage_judged(draft: RolloutDraft, verdict: StageJudged) -> None:
    """Act on a verdict of the present rollout; one for an earlier stage counts only if it is a breach."""
    if not draft.is_in(*LIVE) or verdict.rollout != draft.rollout.id:
        return
    if verdict.word is Word.BREACH:
        _breach(draft, verdict)
    elif verdict.entry == draft.rollout.entry:
        decides = verdict.final and draft.is_in(Phase.BAKING, Phase.SOAKING)
        _note(draft, verdict)
        if decides:
            _final(draft, verdict)


def _breach(draft: RolloutDraft, verdict: StageJudged) -> None:
    ground = ground_of(verdict, Why.GATE_BREACHED)
    if verdict.blocked_by is Authority.ROLLBACK:
        draft.roll_back(ground)
    elif verdict.blocked_by is Authority.HOLD and draft.is_in(Phase.BAKING, Phase.SOAKING, Phase.AWAITING_APPROVAL):
        draft.hold(ground)


def _note(draft: RolloutDraft, verdict: StageJudged) -> None:
    if _measured(verdict):
        draft.telemetry_seen()
    if draft.rollout.awaits_data and verdict.final and verdict.word is not Word.NO_DATA:
        # Gate evaluation counts the good windows; a final verdict in such a hold says that there were enough.
        draft.transition(RolloutResumed, ground_of(verdict, Why.DATA_RETURNED), stage=draft.rollout.stage)
        draft.watch_silence()


def _measured(verdict: StageJudged) -> bool:
    """Whether a gate that may decide was measured: that, and no window that shows nothing, proves the telemetry."""
    return any(gate.no_data is None and gate.authority is not Authority.ADVISE for gate in verdict.gates)


def _final(draft: RolloutDraft, verdict: StageJudged) -> None:
    match verdict.word:
        case Word.PASSED:
            draft.pass_stage(ground_of(verdict, Why.GATES_PASSED))
        case Word.INCONCLUSIVE if draft.is_in(Phase.SOAKING):
            # The stages before have passed on evidence; the soak asks only that nothing breached while it was measured.
            draft.pass_stage(ground_of(verdict, Why.INCONCLUSIVE))
        case Word.INCONCLUSIVE:
            stage = draft.stage
            policy = stage.on_inconclusive if stage is not None else OnInconclusive.HOLD
            if policy is OnInconclusive.PROMOTE_IF_BOUNDED and bounded(draft.plan, _binding(draft, verdict), verdict):
                draft.pass_stage(ground_of(verdict, Why.BOUNDED))
                return
            _undecided(draft, ground_of(verdict, Why.INCONCLUSIVE), policy.value)
        case Word.NO_DATA:
            _undecided(draft, ground_of(verdict, Why.NO_DATA), _no_data_action(draft, verdict))


def _undecided(draft: RolloutDraft, ground: Ground, action: str) -> None:
    if action == OnInconclusive.ROLLBACK:
        draft.roll_back(ground)
    elif action == OnInconclusive.EXTEND and not draft.rollout.extended:
        stage = draft.stage
        more = stage.bake.max if stage is not None else draft.rollout.bake_max
        draft.transition(StageExtended, ground, stage=draft.rollout.stage, bake_max=draft.rollout.bake_max + more)
    else:
        draft.hold(ground, draft.plan.rollback.escalate_to if action == NoDataAction.PAGE else ())


def _no_data_action(draft: RolloutDraft, verdict: StageJudged) -> str:
    stage = draft.stage
    policies = stage.on_no_data if stage is not None else {}
    actions = [_policy(policies, gate.no_data) for gate in _binding(draft, verdict) if gate.no_data is not None]
    for action in (NoDataAction.ROLLBACK, NoDataAction.PAGE, NoDataAction.HOLD, NoDataAction.EXTEND):
        if action in actions:
            return action.value
    return NoDataAction.HOLD.value


def _binding(draft: RolloutDraft, verdict: StageJudged) -> list[GateVerdict]:
    """Return the gates without which the stage does not pass; what only advises, or only guards, decides nothing."""
    named = draft.stage.gates if draft.stage is not None else None
    return [
        gate
        for gate in verdict.gates
        if gate.authority is not Authority.ADVISE and (named is None or gate.gate in named)
    ]


def _policy(policies: dict[NoDataReason, NoDataAction], reason: NoDataReason) -> NoDataAction:
    return policies.get(reason, NoDataAction.HOLD)
