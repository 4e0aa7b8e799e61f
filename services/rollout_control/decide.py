"""The decider: one table from event to handler, each pure."""

from penstock.chain import Decision, Document
from penstock.events import (
    DeployAnnounced,
    Event,
    FlagKilled,
    Ground,
    Request,
    RollbackCompleted,
    RollbackExecuted,
    StageJudged,
    TimerFired,
    Why,
)
from penstock.plan import hash_of
from penstock.rollout import Phase
from services.rollout_control.commands import on_request
from services.rollout_control.course import Course
from services.rollout_control.deploys import on_deploy_announced
from services.rollout_control.state import DEAD_MAN, dump, load
from services.rollout_control.verdicts import on_stage_judged


def decide(target: str, document: Document, event: Event) -> Decision:
    """Return what follows from `event` for the target whose state is `document`."""
    course = Course(load(document), event)
    match event:
        case DeployAnnounced():
            on_deploy_announced(course, event)
        case Request():
            on_request(course, event)
        case StageJudged():
            on_stage_judged(course, event)
        case RollbackExecuted():
            _on_rollback_executed(course, event)
        case FlagKilled():
            _on_flag_killed(course, event)
        case TimerFired():
            _on_timer_fired(course, event)
        case _:
            return Decision(document)
    plan = hash_of(course.state.plan) if course.state.plan else ""
    return Decision(dump(course.state), tuple(course.events), plan)


def _on_rollback_executed(course: Course, event: RollbackExecuted) -> None:
    if course.is_in(Phase.ROLLING_BACK) and event.rollout == course.rollout.id:
        course.move(RollbackCompleted, Ground(why=Why.ROLLBACK_EXECUTED), recovered=event.recovered)


def _on_flag_killed(course: Course, event: FlagKilled) -> None:
    """Whoever switches the flag off wants no rollout to go on as if it were on."""
    if course.state.rollout is not None and course.rollout.live:
        course.roll_back(Ground(why=Why.FLAG_KILLED, text=event.reason))


def _on_timer_fired(course: Course, event: TimerFired) -> None:
    armed = course.state.timers.get(event.timer)
    if event.timer != DEAD_MAN or armed != event.due.isoformat() or not course.is_in(Phase.BAKING, Phase.SOAKING):
        return
    ground = Ground(why=Why.TELEMETRY_SILENT)
    if course.plan.dead_man.action == "rollback":
        course.roll_back(ground)
    else:
        course.hold(ground)
