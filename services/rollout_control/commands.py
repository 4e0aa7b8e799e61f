"""What people ask for, granted or refused with the state that the request met."""

from typing import Literal

from penstock.access import normalized, same_person
from penstock.errors import PlanError
from penstock.events import (
    ApprovalGranted,
    CommandRefused,
    Ground,
    HoldRequested,
    LiftRequested,
    PlanSubmitted,
    PromotionRequested,
    QuarantineLifted,
    Request,
    ResumeRequested,
    RollbackRequested,
    RolloutResumed,
    StageApproved,
    Why,
)
from penstock.plan import load_plan
from penstock.rollout import Phase, RolloutState
from penstock.tokens import Role
from services.rollout_control.deploys import register
from services.rollout_control.draft import RolloutDraft
from services.rollout_control.state import plan_of

Reason = Literal["stale", "not_allowed", "no_rollout", "not_approver", "author_may_not_approve", "invalid"]


def on_request(draft: RolloutDraft, request: Request) -> None:
    """Grant or refuse a request, once."""
    if request.id in draft.state.commands:
        return
    draft.state = draft.state.with_command(request.id)
    match request:
        case PlanSubmitted():
            _plan(draft, request)
        case LiftRequested():
            _lift(draft, request)
        case _ if _met(draft, request):
            _on_rollout(draft, request)


def _met(draft: RolloutDraft, request: Request) -> bool:
    """Whether the rollout is where the asker saw it; refuses otherwise."""
    rollout = draft.state.rollout
    if rollout is None or (request.rollout is not None and request.rollout != rollout.id):
        now = f"the target's rollout is {rollout.id}" if rollout is not None else "the target has had no rollout"
        _refuse(draft, request, "no_rollout", f"{now}; see `penstock rollouts list`")
        return False
    expected = request.expected
    place = rollout.awaited or rollout.stage
    if (expected.stage is not None and expected.stage != place) or (
        expected.sequence is not None and expected.sequence != rollout.sequence
    ):
        detail = f"it has moved on: stage {place}, sequence {rollout.sequence}; look again, then repeat the command"
        _refuse(draft, request, "stale", detail)
        return False
    return True


def _on_rollout(draft: RolloutDraft, request: Request) -> None:
    ground = Ground(why=Why.PERSON, text=request.reason)
    match request:
        case RollbackRequested() if draft.rollout.live or draft.is_in(Phase.COMPLETED):
            draft.roll_back(ground)
        case HoldRequested() if draft.is_in(Phase.BAKING, Phase.SOAKING, Phase.AWAITING_APPROVAL):
            draft.hold(ground)
        case ResumeRequested() if draft.is_in(Phase.HELD):
            draft.transition(RolloutResumed, ground, stage=draft.rollout.stage or draft.rollout.awaited or "")
            draft.watch_silence()
        case ApprovalGranted() if draft.is_in(Phase.AWAITING_APPROVAL):
            _approve(draft, request)
        case PromotionRequested() if draft.is_in(Phase.BAKING, Phase.SOAKING, Phase.HELD):
            _promote(draft, request)
        case _:
            _refuse(draft, request, "not_allowed", _why_not(draft, request))


def _promote(draft: RolloutDraft, request: PromotionRequested) -> None:
    if draft.rollout.resumes_to is Phase.AWAITING_APPROVAL:
        _refuse(draft, request, "not_allowed", "the stage waits for approval: resume, then approve")
    elif not request.override:
        detail = "the stage's gates have not passed; `--override` promotes all the same, and the record says so"
        _refuse(draft, request, "not_allowed", detail)
    else:
        draft.pass_stage(Ground(why=Why.OVERRIDE, text=request.reason), override=True)


def _approve(draft: RolloutDraft, request: ApprovalGranted) -> None:
    rollout = draft.rollout
    stage = rollout.stages[rollout.index + 1]
    approvers = stage.approvers
    if Role.ADMIN not in request.roles and not set(approvers) & set(request.roles):
        _refuse(draft, request, "not_approver", f"stage {stage.name} is approved by: {', '.join(approvers)}")
    elif request.actor is None or _is_barred(rollout, request.actor):
        detail = "who announced or wrote the release, or changed its plan, may not approve it; ask another person"
        _refuse(draft, request, "author_may_not_approve", detail)
    elif any(same_person(request.actor, known) for known in rollout.approved_by):
        _refuse(draft, request, "not_allowed", f"{request.actor} has approved already; another person must")
    else:
        ground = Ground(why=Why.APPROVED, text=request.reason)
        draft.transition(StageApproved, ground, stage=stage.name, missing=rollout.missing - 1)
        if draft.rollout.missing == 0:
            _forget_editors(draft)
            draft.enter(rollout.index + 1, ground)


def _is_barred(rollout: RolloutState, actor: str) -> bool:
    return same_person(actor, rollout.author) or normalized(actor) in rollout.barred


def _forget_editors(draft: RolloutDraft) -> None:
    """The plan in force has now been approved by people who did not change it."""
    name = draft.rollout.plan_name
    if name in draft.state.plan_editors and draft.state.plans.get(name) == draft.state.plan:
        left = {known: editors for known, editors in draft.state.plan_editors.items() if known != name}
        draft.put(plan_editors=left)


def _plan(draft: RolloutDraft, request: PlanSubmitted) -> None:
    try:
        plan = load_plan(request.plan_text, new=True)
    except PlanError as error:
        _refuse(draft, request, "invalid", str(error))
        return
    if plan.target.key != request.target:
        _refuse(draft, request, "invalid", f"the plan is for {plan.target.key}, not {request.target}")
    else:
        register(draft, request.plan_text, plan)


def _lift(draft: RolloutDraft, request: LiftRequested) -> None:
    lifters = _lifters(draft)
    if request.version not in draft.state.quarantined:
        known = ", ".join(draft.state.quarantined) or "none"
        _refuse(draft, request, "not_allowed", f"version {request.version} is not quarantined; quarantined: {known}")
    elif Role.ADMIN not in request.roles and not set(lifters) & set(request.roles):
        _refuse(draft, request, "not_approver", f"the quarantine is lifted by: {', '.join(lifters)}")
    else:
        draft.add(QuarantineLifted, version=request.version, reason=request.reason)
        left = {v: r for v, r in draft.state.quarantined.items() if v != request.version}
        draft.put(quarantined=left)


def _lifters(draft: RolloutDraft) -> tuple[str, ...]:
    rollout = draft.state.rollout
    if rollout is None or rollout.unvouched or not draft.state.plan:
        return (Role.RELEASE_MANAGER,)
    return plan_of(draft.state.plan).rollback.quarantine_lifters


def _why_not(draft: RolloutDraft, request: Request) -> str:
    phase = draft.rollout.phase.replace("_", " ")
    wanted = request.type.partition(".")[0]
    return f"the rollout is {phase}: {wanted} does not apply; `penstock rollouts show {draft.rollout.id}` tells more"


def _refuse(draft: RolloutDraft, request: Request, reason: Reason, detail: str) -> None:
    rollout = draft.state.rollout
    draft.add(
        CommandRefused,
        rollout=request.rollout or (rollout.id if rollout else None),
        command=request.type,
        reason=reason,
        detail=detail,
        phase=rollout.phase if rollout else None,
        stage=(rollout.awaited or rollout.stage) if rollout else None,
        sequence=rollout.sequence if rollout else None,
    )
