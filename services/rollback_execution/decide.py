"""The decider: one table from what is heard to what follows, pure."""

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
from services.rollback_execution.course import Course
from services.rollback_execution.needs import default_needs, needs_of
from services.rollback_execution.observations import on_step_observed
from services.rollback_execution.recovery import Look, look, sample
from services.rollback_execution.state import Applied, Phase, Running, Served, dump, load
from services.rollback_execution.steps.flag import KIND as FLAG
from services.rollback_execution.steps.flag import applied


def decide(target: str, document: Document, event: Event) -> Decision:
    """Return what follows from `event` for the target whose state is `document`."""
    state = load(document)
    course = Course(state, event)
    match event:
        case RolloutAnnounced():
            needs = needs_of(event.plan_text, event.plan_hash)
            course.put(rollout=event.rollout, live=True, needs=needs, served={})
        case RolloutCompleted() | RolloutSuperseded() | RollbackCompleted():
            course.put(live=state.live and event.rollout != state.rollout)
        case RollbackStarted():
            _on_rollback_started(course, event)
        case ExposureChanged():
            flag = Applied(event.entry, event.exposure, event.version, event.id, event.time)
            course.put(flag=flag)
        case FlagServed():
            _on_flag_served(course, event)
        case WindowClosed():
            _on_window_closed(course, event)
        case StepObserved():
            on_step_observed(course, event)
        case TimerFired():
            _on_timer_fired(course, event)
        case _:
            return Decision(document)
    if course.state.running is not None:
        _settle(course)
    if course.state is state or course.state == state:
        return Decision(document)
    plan = state.running.needs.plan if state.running else ""
    return Decision(dump(course.state), tuple(course.events), plan)


def _on_rollback_started(course: Course, event: RollbackStarted) -> None:
    state = course.state
    if event.id == state.executed or (state.running is not None and state.running.id == event.id):
        return
    known = state.needs if state.rollout == event.rollout else None
    running = Running(
        id=event.id,
        rollout=event.rollout,
        version=event.version,
        began=event.time,
        at=event.time,
        needs=known or default_needs(event.plan_hash),
        before=event.id,
    )
    course.now = event.time
    course.put(running=running, timers={})


def _on_flag_served(course: Course, event: FlagServed) -> None:
    known = course.state.served.get(event.instance)
    if known is not None and known.version > event.version:
        return
    seconds = event.elapsed_ms / 1000 if event.elapsed_ms is not None else -1.0
    report = Served(event.version, event.streams, event.served, event.id, event.time, seconds)
    course.put(served={**course.state.served, event.instance: report})


def _on_window_closed(course: Course, event: WindowClosed) -> None:
    state = course.state
    if state.running is None:
        references = sample(state, event)
        if references is not None:
            course.put(references=references)
        return
    run = state.running
    if not run.watching or event.start < run.began or event.id in run.streak:
        return
    seen = look(run.needs, tuple(state.references.values()), event)
    match seen.look:
        case Look.WELL:
            course.put_run(streak=(*run.streak, event.id), doubt="")
        case Look.UNWELL if run.streak or seen.doubt != run.doubt:
            course.put_run(streak=(), doubt=seen.doubt)
        case Look.UNMEASURED if seen.doubt != run.doubt:
            course.put_run(doubt=seen.doubt)


def _on_timer_fired(course: Course, event: TimerFired) -> None:
    run = course.state.running
    if run is None or course.state.timers.get(event.timer) != event.due:
        return
    course.disarm(event.timer)
    match event.timer:
        case "containment" if not run.safe:
            course.put_run(overdue=True)
            reason = f"Not contained within {run.needs.containment:g} s: {missing(course.state, run)}."
            course.escalate("containment", reason, run.id)
        case "step":
            course.fail_step(f"not done within {course.step.deadline:g} s")
        case "retry" if run.doing.phase is Phase.WAITING:
            course.start_attempt(run.doing.executor)
        case "lease" if run.doing.phase is Phase.RUNNING:
            course.put_doing(phase=Phase.LAPSED)
        case "recovery":
            doubt = run.doubt or "too few windows have closed"
            course.escalate("recovery", f"Not recovered within {run.needs.recovery_deadline:g} s: {doubt}.", run.id)
            course.execute(recovered=False, cause=run.id)


def _settle(course: Course) -> None:
    """Say what the state now allows: the flag step's end, containment, the watch for recovery, the end."""
    run = course.run
    flag = applied(course.state, run)
    if flag is not None and run.step is not None and run.step.kind == FLAG and run.doing.phase is Phase.RUNNING:
        doing = run.doing
        course.complete_step(doing.attempt, doing.executor, flag.event, version=flag.version)
    _contain(course)
    run = course.run
    if run.step is None and (run.safe or run.overdue) and not run.watching:
        course.put_run(watching=True)
        course.arm("recovery", run.needs.recovery_deadline)
    if run.watching and len(run.streak) >= run.needs.recovery_windows:
        verified = course.say(RecoveryVerified, (), run.streak[-1], windows=run.streak)
        course.execute(recovered=True, cause=verified.id)


def _contain(course: Course) -> None:
    run = course.run
    reached = contained(course.state, run) if not run.safe else None
    if reached is None:
        return
    within = run.needs.containment
    course.disarm("containment")
    course.put_run(contained=reached.seconds, overdue=run.overdue or reached.seconds > within)
    said = course.say(
        ExposureContained,
        (),
        reached.event,
        version=reached.version,
        streams=reached.streams,
        seconds=reached.seconds,
        within=within,
    )
    if reached.seconds > within and not run.overdue:
        reason = f"Contained after {reached.seconds:g} s, not within {within:g} s."
        course.escalate("containment", reason, said.id)
