"""What follows from what the executor of a step reports; whatever is not about the present step changes nothing."""

from datetime import timedelta
from typing import assert_never

from penstock.events import Saw, StepObserved
from services.rollback_execution.draft import RollbackDraft
from services.rollback_execution.state import StepPhase
from services.rollback_execution.steps.webhook import pause_after


def on_step_observed(draft: RollbackDraft, event: StepObserved) -> None:
    """Let a copy take the present step up, or end an attempt at it."""
    run = draft.state.running
    if run is None or event.rollback != run.id or event.index != run.index:
        return
    doing = run.doing
    mine = (event.attempt, event.executor) == (doing.attempt, doing.executor)
    out = doing.phase in {StepPhase.RUNNING, StepPhase.LAPSED}
    match event.saw:
        case Saw.CLAIMED:
            _claim(draft, event)
        case Saw.SUCCEEDED:
            # An earlier attempt counts as well, however late its answer: the step has had its effect.
            if event.attempt <= doing.attempt:
                draft.complete_step(event.attempt, event.executor, doing.event, status=event.status or 0)
        case Saw.FAILED:
            if mine and out:
                _fail(draft, event)
        case Saw.REFUSED:
            if mine and out:
                draft.fail_step(event.reason)
        case _:
            assert_never(event.saw)


def _claim(draft: RollbackDraft, event: StepObserved) -> None:
    run = draft.run
    if run.doing.phase not in {StepPhase.OPEN, StepPhase.LAPSED}:
        return
    if run.index == 0 and run.doing.phase is StepPhase.OPEN and not run.safe:
        # From here on, and not from the decision's event time: after an outage that would have passed already.
        draft.arm("containment", run.needs.containment)
    draft.start_attempt(event.executor)


def _fail(draft: RollbackDraft, event: StepObserved) -> None:
    draft.fail_attempt(event.reason)
    doing = draft.run.doing
    pause = pause_after(doing.attempt)
    if doing.deadline is not None and draft.now + timedelta(seconds=pause) < doing.deadline:
        draft.arm("retry", pause)
