"""What a replica must do for the accepted state, pure: claim a step that nobody runs, or send its attempt's POST."""

from dataclasses import dataclass
from datetime import datetime

from penstock import ids
from penstock.events import Saw, StepObserved
from services.rollback_execution.draft import SOURCE
from services.rollback_execution.state import Running, State, StepPhase
from services.rollback_execution.steps.webhook import KIND as WEBHOOK


@dataclass(frozen=True)
class Errand:
    """Something to do once: `claim` a step, or `post` for an attempt at it."""

    what: str
    rollback: str
    index: int
    attempt: int


def errand_of(state: State, executor: str) -> Errand | None:
    """Return what the copy called `executor` must do now, by the state alone: after a restart it is the same."""
    run = state.running
    if run is None or run.step is None:
        return None
    doing = run.doing
    if doing.phase in {StepPhase.OPEN, StepPhase.LAPSED}:
        return Errand("claim", run.id, run.index, doing.attempt)
    if run.step.kind == WEBHOOK and doing.phase is StepPhase.RUNNING and doing.executor == executor:
        return Errand("post", run.id, run.index, doing.attempt)
    return None


def report(
    target: str, run: Running, executor: str, now: datetime, saw: Saw, status: int | None = None, reason: str = ""
) -> StepObserved:
    """Return what this replica observed of the present step, as an input of the decider."""
    assert run.step is not None
    attempt = max(1, run.doing.attempt)
    return StepObserved(
        id=ids.derive("step.observed", run.id, run.index, run.doing.attempt, saw, executor),
        source=SOURCE,
        target=target,
        time=now,
        rollout=run.rollout,
        cause=run.doing.event or run.before,
        step=run.step.name,
        index=run.index,
        attempt=attempt,
        executor=executor,
        rollback=run.id,
        saw=saw,
        status=status,
        reason=reason,
    )
