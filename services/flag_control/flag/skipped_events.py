"""Events that an earlier version could not read and skipped: a rollback among them must still take effect."""

from collections.abc import Iterator, Sequence

from penstock.chain import Document
from penstock.events import Event, RollbackStarted, RolloutSuperseded
from services.flag_control.flag.state import load


def still_due(document: Document, late: Sequence[Event]) -> Iterator[Event]:
    """Yield the event that rolls back the release that clients are served; nothing that would raise its exposure."""
    reach = load(document).reach
    for event in late:
        if isinstance(event, RollbackStarted | RolloutSuperseded) and event.rollout == reach.rollout and reach.exposure:
            yield event
            return
