"""What an earlier version could not read and passed, and what must still come of it: a release that is exposed yet."""

from collections.abc import Iterator, Sequence

from penstock.chain import Document
from penstock.events import Event, RollbackStarted, RolloutSuperseded
from services.flag_control.flag.state import load


def still_due(document: Document, late: Sequence[Event]) -> Iterator[Event]:
    """Yield what takes the release back that clients are served now; nothing that would raise its exposure."""
    reach = load(document).reach
    for event in late:
        if isinstance(event, RollbackStarted | RolloutSuperseded) and event.rollout == reach.rollout and reach.exposure:
            yield event
            return
