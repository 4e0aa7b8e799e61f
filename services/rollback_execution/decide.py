"""The decider: one table from input to handler, pure."""

from penstock.chain import Decision, Document
from penstock.events import (
    Event,
    ExposureChanged,
    ExposureContained,
    FlagServed,
    RecoveryVerified,
    RollbackCompleted,
    RollbackStarted,
    RolloutAnnounced,
    RolloutCompleted,
    RolloutSuperseded,
    StepObserved,
    TimerFired,
    WindowClosed,
)
from services.rollback_execution.containment import contained, missing
from services.rollback_execution.draft import RollbackDraft
from services.rollback_execution.observations import on_step_observed
from services.rollback_execution.recovery import Health, health_of, sample
from services.rollback_execution.rollback_plan import default_plan, rollback_plan_of
from services.rollback_execution.state import Applied, Running, Served, StepPhase, dump, load
from services.rollback_execution.steps.flag import KIND as FLAG
from services.rollback_execution.steps.flag import applied


def decide(target: str, document: Document, event: Event) -> Decision:
    """Return what follows from `event` for the target whose state is `document`."""
    state = load(document)
    draft = RollbackDraft(target, state, event)
    match event:
        case RolloutAnnounced():
            needs = rollback_plan_of(event.plan_text, event.plan_hash)
            draft.put(rollout=event.rollout, live=True, needs=needs, served={})
        case RolloutCompleted() | RolloutSuperseded() | RollbackCompleted():
            draft.put(live=state.live and event.rollout != state.rollout)
        case RollbackStarted():
            _on_rollback_started(draft, event)
        case ExposureChanged():
            flag = Applied(event.entry, event.exposure, event.version, event.id, event.time)
            draft.put(flag=flag)
        case FlagServed():
            _on_flag_served(draft, event)
        case WindowClosed():
            _on_window_closed(draft, event)
        case StepObserved():
            on_step_observed(draft, event)
        case TimerFired():
            _on_timer_fired(draft, event)
        case _:
            return Decision(document)
    if draft.state.running is not None:
        _settle(draft)
    if draft.state is state or draft.state == state:
        return Decision(document)
    plan = state.running.needs.plan if state.running else ""
    return Decision(dump(draft.state), tuple(draft.events), plan)


def _on_rollback_started(draft: RollbackDraft, event: RollbackStarted) -> None:
    state = draft.state
    if event.id == state.executed or (state.running is not None and state.running.id == event.id):
        return
    known = state.needs if state.rollout == event.rollout else None
    running = Running(
        id=event.id,
        rollout=event.rollout,
        version=event.version,
        began=event.time,
        at=event.time,
        needs=known or default_plan(event.plan_hash),
        before=event.id,
        exposed=event.stage is not None or event.exposure > 0,
    )
    draft.now = event.time
    draft.put(running=running, timers={})


def _on_flag_served(draft: RollbackDraft, event: FlagServed) -> None:
    known = draft.state.served.get(event.instance)
    if known is not None and known.version > event.version:
        return
    seconds = event.elapsed_ms / 1000 if event.elapsed_ms is not None else -1.0
    report = Served(event.version, event.streams, event.served, event.id, event.time, seconds, event.closed or 0)
    draft.put(served={**draft.state.served, event.instance: report})


def _on_window_closed(draft: RollbackDraft, event: WindowClosed) -> None:
    state = draft.state
    if state.running is None:
        references = sample(state, event)
        if references is not None:
            draft.put(references=references)
        return
    run = state.running
    if not run.watching or not event.began_after(run.began) or event.id in run.streak:
        return
    finding = health_of(run.needs, tuple(state.references.values()), event)
    match finding.health:
        case Health.WELL:
            draft.put_run(streak=(*run.streak, event.id), doubt="")
        case Health.UNWELL if run.streak or finding.doubt != run.doubt:
            draft.put_run(streak=(), doubt=finding.doubt)
        case Health.UNMEASURED if finding.doubt != run.doubt:
            draft.put_run(doubt=finding.doubt)


def _on_timer_fired(draft: RollbackDraft, event: TimerFired) -> None:
    run = draft.state.running
    if run is None or draft.state.timers.get(event.timer) != event.due:
        return
    draft.disarm(event.timer)
    match event.timer:
        case "containment" if not run.safe:
            draft.put_run(overdue=True)
            reason = f"Not contained within {run.needs.containment:g} s: {missing(draft.state, run)}."
            draft.escalate("containment", reason, run.id)
        case "step":
            draft.fail_step(f"not done within {draft.step.deadline:g} s")
        case "retry" if run.doing.phase is StepPhase.WAITING:
            draft.start_attempt(run.doing.executor)
        case "lease" if run.doing.phase is StepPhase.RUNNING:
            draft.put_doing(phase=StepPhase.LAPSED)
        case "recovery":
            doubt = run.doubt or "too few windows have closed"
            draft.escalate("recovery", f"Not recovered within {run.needs.recovery_deadline:g} s: {doubt}.", run.id)
            draft.execute(recovered=False, cause=run.id)


def _settle(draft: RollbackDraft) -> None:
    """Report what the state now allows: the flag step's end, containment, the watch for recovery, the end."""
    run = draft.run
    flag = applied(draft.state, run)
    if flag is not None and run.step is not None and run.step.kind == FLAG and run.doing.phase is StepPhase.RUNNING:
        doing = run.doing
        draft.complete_step(doing.attempt, doing.executor, flag.event, version=flag.version)
    _contain(draft)
    run = draft.run
    if not run.exposed and run.step is None and (run.safe or run.overdue):
        draft.execute(recovered=True, cause=run.before)
        return
    if run.step is None and (run.safe or run.overdue) and not run.watching:
        draft.put_run(watching=True)
        draft.arm("recovery", run.needs.recovery_deadline)
    if run.watching and len(run.streak) >= run.needs.recovery_windows:
        verified = draft.report(RecoveryVerified, (), run.streak[-1], windows=run.streak)
        draft.execute(recovered=True, cause=verified.id)


def _contain(draft: RollbackDraft) -> None:
    run = draft.run
    reached = contained(draft.state, run) if not run.safe else None
    if reached is None:
        return
    within = run.needs.containment
    draft.disarm("containment")
    draft.put_run(contained=reached.seconds, overdue=run.overdue or reached.seconds > within)
    reported = draft.report(
        ExposureContained,
        (),
        reached.event,
        version=reached.version,
        streams=reached.streams,
        seconds=reached.seconds,
        within=within,
        closed=reached.closed or None,
    )
    if reached.seconds > within and not run.overdue:
        reason = f"Contained after {reached.seconds:g} s, not within {within:g} s."
        draft.escalate("containment", reason, reported.id)
