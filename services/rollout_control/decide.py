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
from penstock.rollout import LIVE, Phase
from services.rollout_control.commands import on_request
from services.rollout_control.deploys import on_deploy_announced
from services.rollout_control.draft import RolloutDraft
from services.rollout_control.state import DEAD_MAN, dump, load
from services.rollout_control.verdicts import on_stage_judged


def decide(target: str, document: Document, event: Event) -> Decision:
    """Return what follows from `event` for the target whose state is `document`."""
    draft = RolloutDraft(target, load(document), event)
    match event:
        case DeployAnnounced():
            on_deploy_announced(draft, event)
        case Request():
            on_request(draft, event)
        case StageJudged():
            on_stage_judged(draft, event)
        case RollbackExecuted():
            _on_rollback_executed(draft, event)
        case FlagKilled():
            _on_flag_killed(draft, event)
        case TimerFired():
            _on_timer_fired(draft, event)
        case _:
            return Decision(document)
    draft.put(decided=draft.decided)
    plan = hash_of(draft.state.plan) if draft.state.plan else ""
    return Decision(dump(draft.state), tuple(draft.events), plan)


def _on_rollback_executed(draft: RolloutDraft, event: RollbackExecuted) -> None:
    if draft.is_in(Phase.ROLLING_BACK) and event.rollout == draft.rollout.id:
        draft.transition(RollbackCompleted, Ground(why=Why.ROLLBACK_EXECUTED), recovered=event.recovered)


def _on_flag_killed(draft: RolloutDraft, event: FlagKilled) -> None:
    """Roll back: a person who switches the flag off wants no rollout to go on as if it were on."""
    if draft.state.rollout is not None and draft.rollout.live:
        draft.roll_back(Ground(why=Why.FLAG_KILLED, text=event.reason))


def _on_timer_fired(draft: RolloutDraft, event: TimerFired) -> None:
    if draft.state.timers.get(event.timer) != event.due.isoformat():
        return
    # A timer that has fired is gone, whatever it does: left armed, it would fire for as long as the phase lasts.
    draft.put(timers={name: due for name, due in draft.state.timers.items() if name != event.timer})
    if event.timer != DEAD_MAN or not draft.is_in(*LIVE):
        return
    ground = Ground(why=Why.TELEMETRY_SILENT)
    if draft.plan.dead_man.action == "rollback" and draft.rollout.exposure:
        draft.roll_back(ground)
    elif draft.is_in(Phase.BAKING, Phase.SOAKING):
        draft.hold(ground)
