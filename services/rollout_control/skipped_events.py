"""Finds `rollback.executed` among skipped events that an older version could not read; without it no rollback ends."""

from collections.abc import Iterator, Sequence

from penstock.chain import Document
from penstock.events import Event, RollbackExecuted
from penstock.rollout import Phase
from services.rollout_control.state import load


def still_due(document: Document, skipped: Sequence[Event]) -> Iterator[Event]:
    """Yield what ends the rollback that is under way."""
    rollout = load(document).rollout
    for event in skipped:
        under_way = rollout is not None and rollout.phase is Phase.ROLLING_BACK and event.rollout == rollout.id
        if isinstance(event, RollbackExecuted) and under_way:
            yield event
            return
