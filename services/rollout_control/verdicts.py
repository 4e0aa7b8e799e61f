"""What a verdict does: a breach takes back at once, a pass goes on, and anything that is not a pass never does."""

from datetime import timedelta

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
from services.rollout_control.course import Course, ground_of
from services.rollout_control.state import DEAD_MAN


def on_stage_judged(course: Course, verdict: StageJudged) -> None:
    """Act on a verdict of the present rollout; one for an earlier stage counts only if it is a breach."""
    if not course.is_in(*LIVE) or verdict.rollout != course.rollout.id:
        return
    if verdict.word is Word.BREACH:
        _breach(course, verdict)
    elif verdict.entry == course.rollout.entry:
        decides = verdict.final and course.is_in(Phase.BAKING, Phase.SOAKING)
        _note(course, verdict)
        if decides:
            _final(course, verdict)


def _breach(course: Course, verdict: StageJudged) -> None:
    ground = ground_of(verdict, Why.GATE_BREACHED)
    if verdict.blocked_by is Authority.ROLLBACK:
        course.roll_back(ground)
    elif verdict.blocked_by is Authority.HOLD and course.is_in(Phase.BAKING, Phase.SOAKING, Phase.AWAITING_APPROVAL):
        course.hold(ground)


def _note(course: Course, verdict: StageJudged) -> None:
    if course.is_in(Phase.BAKING, Phase.SOAKING):
        due = verdict.window_end + timedelta(seconds=course.plan.dead_man.after)
        course.put(timers={DEAD_MAN: due.isoformat()})
    elif course.rollout.awaits_data and verdict.final and verdict.word is not Word.NO_DATA:
        # Gate evaluation counts the good windows; a final verdict in such a hold says that there were enough.
        course.move(RolloutResumed, ground_of(verdict, Why.DATA_RETURNED), stage=course.rollout.stage)
        course.watch_silence()


def _final(course: Course, verdict: StageJudged) -> None:
    match verdict.word:
        case Word.PASSED:
            course.pass_stage(ground_of(verdict, Why.GATES_PASSED))
        case Word.INCONCLUSIVE if course.is_in(Phase.SOAKING):
            # The stages before have passed on evidence; the soak asks only that nothing breached while it was measured.
            course.pass_stage(ground_of(verdict, Why.INCONCLUSIVE))
        case Word.INCONCLUSIVE:
            stage = course.stage
            policy = stage.on_inconclusive if stage is not None else OnInconclusive.HOLD
            if policy is OnInconclusive.PROMOTE_IF_BOUNDED and bounded(course.plan, _binding(course, verdict), verdict):
                course.pass_stage(ground_of(verdict, Why.BOUNDED))
                return
            _undecided(course, ground_of(verdict, Why.INCONCLUSIVE), policy.value)
        case Word.NO_DATA:
            _undecided(course, ground_of(verdict, Why.NO_DATA), _no_data_action(course, verdict))


def _undecided(course: Course, ground: Ground, action: str) -> None:
    if action == OnInconclusive.ROLLBACK:
        course.roll_back(ground)
    elif action == OnInconclusive.EXTEND and not course.rollout.extended:
        stage = course.stage
        more = stage.bake.max if stage is not None else course.rollout.bake_max
        course.move(StageExtended, ground, stage=course.rollout.stage, bake_max=course.rollout.bake_max + more)
    else:
        course.hold(ground, course.plan.rollback.escalate_to if action == NoDataAction.PAGE else ())


def _no_data_action(course: Course, verdict: StageJudged) -> str:
    stage = course.stage
    policies = stage.on_no_data if stage is not None else {}
    actions = [_policy(policies, gate.no_data) for gate in _binding(course, verdict) if gate.no_data is not None]
    for action in (NoDataAction.ROLLBACK, NoDataAction.PAGE, NoDataAction.HOLD, NoDataAction.EXTEND):
        if action in actions:
            return action.value
    return NoDataAction.HOLD.value


def _binding(course: Course, verdict: StageJudged) -> list[GateVerdict]:
    """Return the gates without which the stage does not pass; what only advises, or only guards, decides nothing."""
    named = course.stage.gates if course.stage is not None else None
    return [
        gate
        for gate in verdict.gates
        if gate.authority is not Authority.ADVISE and (named is None or gate.gate in named)
    ]


def _policy(policies: dict[NoDataReason, NoDataAction], reason: NoDataReason) -> NoDataAction:
    return policies.get(reason, NoDataAction.HOLD)
