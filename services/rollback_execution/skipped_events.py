"""Finds the rollback among skipped events that an older version could not read, and that nobody has executed."""

from collections.abc import Iterator, Sequence

from penstock.chain import Document
from penstock.events import Event, RollbackCompleted, RollbackStarted
from services.rollback_execution.state import load


def still_due(document: Document, skipped: Sequence[Event]) -> Iterator[Event]:
    """Yield the rollback of the target's present rollout, if it was skipped, has not been executed and is not over."""
    state, due = load(document), None
    for event in skipped:
        if isinstance(event, RollbackStarted):
            due = event
        elif isinstance(event, RollbackCompleted):
            due = None
    if due is not None and due.rollout == state.rollout and due.id != state.executed and state.running is None:
        yield due
