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
from services.rollout_control.course import Course
from services.rollout_control.deploys import register
from services.rollout_control.state import plan_of

Reason = Literal["stale", "not_allowed", "no_rollout", "not_approver", "author_may_not_approve", "invalid"]


def on_request(course: Course, request: Request) -> None:
    """Grant or refuse a request, once."""
    if request.id in course.state.commands:
        return
    course.state = course.state.with_command(request.id)
    match request:
        case PlanSubmitted():
            _plan(course, request)
        case LiftRequested():
            _lift(course, request)
        case _ if _met(course, request):
            _on_rollout(course, request)


def _met(course: Course, request: Request) -> bool:
    """Whether the rollout is where the asker saw it; refuses otherwise."""
    rollout = course.state.rollout
    if rollout is None or (request.rollout is not None and request.rollout != rollout.id):
        now = f"the target's rollout is {rollout.id}" if rollout is not None else "the target has had no rollout"
        _refuse(course, request, "no_rollout", f"{now}; see `penstock rollouts list`")
        return False
    expected = request.expected
    place = rollout.awaited or rollout.stage
    if (expected.stage is not None and expected.stage != place) or (
        expected.sequence is not None and expected.sequence != rollout.sequence
    ):
        detail = f"it has moved on: stage {place}, sequence {rollout.sequence}; look again, then repeat the command"
        _refuse(course, request, "stale", detail)
        return False
    return True


def _on_rollout(course: Course, request: Request) -> None:
    ground = Ground(why=Why.PERSON, text=request.reason)
    match request:
        case RollbackRequested() if course.rollout.live or course.is_in(Phase.COMPLETED):
            course.roll_back(ground)
        case HoldRequested() if course.is_in(Phase.BAKING, Phase.SOAKING, Phase.AWAITING_APPROVAL):
            course.hold(ground)
        case ResumeRequested() if course.is_in(Phase.HELD):
            course.move(RolloutResumed, ground, stage=course.rollout.stage or course.rollout.awaited or "")
            course.watch_silence()
        case ApprovalGranted() if course.is_in(Phase.AWAITING_APPROVAL):
            _approve(course, request)
        case PromotionRequested() if course.is_in(Phase.BAKING, Phase.SOAKING, Phase.HELD):
            _promote(course, request)
        case _:
            _refuse(course, request, "not_allowed", _why_not(course, request))


def _promote(course: Course, request: PromotionRequested) -> None:
    if course.rollout.resumes_to is Phase.AWAITING_APPROVAL:
        _refuse(course, request, "not_allowed", "the stage waits for approval: resume, then approve")
    elif not request.override:
        detail = "the stage's gates have not passed; `--override` promotes all the same, and the record says so"
        _refuse(course, request, "not_allowed", detail)
    else:
        course.pass_stage(Ground(why=Why.OVERRIDE, text=request.reason), override=True)


def _approve(course: Course, request: ApprovalGranted) -> None:
    rollout = course.rollout
    stage = rollout.stages[rollout.index + 1]
    approvers = stage.approvers
    if Role.ADMIN not in request.roles and not set(approvers) & set(request.roles):
        _refuse(course, request, "not_approver", f"stage {stage.name} is approved by: {', '.join(approvers)}")
    elif request.actor is None or _is_barred(rollout, request.actor):
        detail = "who announced or wrote the release, or changed its plan, may not approve it; ask another person"
        _refuse(course, request, "author_may_not_approve", detail)
    elif any(same_person(request.actor, known) for known in rollout.approved_by):
        _refuse(course, request, "not_allowed", f"{request.actor} has approved already; another person must")
    else:
        ground = Ground(why=Why.APPROVED, text=request.reason)
        course.move(StageApproved, ground, stage=stage.name, missing=rollout.missing - 1)
        if course.rollout.missing == 0:
            _forget_editors(course)
            course.enter(rollout.index + 1, ground)


def _is_barred(rollout: RolloutState, actor: str) -> bool:
    return same_person(actor, rollout.author) or normalized(actor) in rollout.barred


def _forget_editors(course: Course) -> None:
    """The plan in force has now been approved by people who did not change it."""
    name = course.rollout.plan_name
    if name in course.state.plan_editors and course.state.plans.get(name) == course.state.plan:
        left = {known: editors for known, editors in course.state.plan_editors.items() if known != name}
        course.put(plan_editors=left)


def _plan(course: Course, request: PlanSubmitted) -> None:
    try:
        plan = load_plan(request.plan_text)
    except PlanError as error:
        _refuse(course, request, "invalid", str(error))
        return
    if plan.target.key != request.target:
        _refuse(course, request, "invalid", f"the plan is for {plan.target.key}, not {request.target}")
    else:
        register(course, request.plan_text, plan)


def _lift(course: Course, request: LiftRequested) -> None:
    lifters = _lifters(course)
    if request.version not in course.state.quarantined:
        known = ", ".join(course.state.quarantined) or "none"
        _refuse(course, request, "not_allowed", f"version {request.version} is not quarantined; quarantined: {known}")
    elif Role.ADMIN not in request.roles and not set(lifters) & set(request.roles):
        _refuse(course, request, "not_approver", f"the quarantine is lifted by: {', '.join(lifters)}")
    else:
        course.say(QuarantineLifted, version=request.version, reason=request.reason)
        left = {v: r for v, r in course.state.quarantined.items() if v != request.version}
        course.put(quarantined=left)


def _lifters(course: Course) -> tuple[str, ...]:
    rollout = course.state.rollout
    if rollout is None or rollout.unvouched or not course.state.plan:
        return (Role.RELEASE_MANAGER,)
    return plan_of(course.state.plan).rollback.quarantine_lifters


def _why_not(course: Course, request: Request) -> str:
    phase = course.rollout.phase.replace("_", " ")
    wanted = request.type.partition(".")[0]
    return f"the rollout is {phase}: {wanted} does not apply; `penstock rollouts show {course.rollout.id}` tells more"


def _refuse(course: Course, request: Request, reason: Reason, detail: str) -> None:
    rollout = course.state.rollout
    course.say(
        CommandRefused,
        rollout=request.rollout or (rollout.id if rollout else None),
        command=request.type,
        reason=reason,
        detail=detail,
        phase=rollout.phase if rollout else None,
        stage=(rollout.awaited or rollout.stage) if rollout else None,
        sequence=rollout.sequence if rollout else None,
    )
