"""Which folded timers are due: a heap over what the state documents name under `timers`.

Each entry holds when it fires by the wall clock of now: the due time, moved by the jumps of that clock since.
"""

import heapq
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from penstock import ids
from penstock.chain import Document
from penstock.events import TimerFired


class Timers:
    """Timers of one partition's targets."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._armed: dict[str, dict[str, datetime]] = {}
        self._heap: list[tuple[datetime, str, str, datetime]] = []
        self._fired: set[tuple[str, str, datetime]] = set()

    def note(self, target: str, document: Document) -> None:
        """Take a target's state as folded."""
        named = {name: datetime.fromisoformat(due) for name, due in document.get("timers", {}).items()}
        before = self._armed.get(target, {})
        self._armed[target] = named
        for name, due in named.items():
            if before.get(name) != due:
                heapq.heappush(self._heap, (due, target, name, due))
        self._fired = {fired for fired in self._fired if fired[0] != target}

    def waits(self, now: datetime) -> bool:
        """Whether there may be something due."""
        return bool(self._heap) and self._heap[0][0] <= now

    def due(self, now: datetime) -> Iterator[TimerFired]:
        """Yield each armed timer that is due, once until its target's state changes."""
        again = []
        while self.waits(now):
            entry = heapq.heappop(self._heap)
            _, target, name, due = entry
            if self._armed.get(target, {}).get(name) != due:
                continue
            again.append(entry)
            if (target, name, due) not in self._fired:
                self._fired.add((target, name, due))
                yield self._event(target, name, due)
        for entry in again:
            heapq.heappush(self._heap, entry)

    def rearm(self, jump: timedelta) -> None:
        """Let every armed timer wait as long as it had left before the wall clock jumped; its due time stays."""
        self._heap = sorted((_moved(when, jump), target, name, due) for when, target, name, due in self._heap)

    def _event(self, target: str, name: str, due: datetime) -> TimerFired:
        return TimerFired(
            id=ids.derive("timer.fired", target, name, due.isoformat()),
            source=self._source,
            target=target,
            time=due,
            timer=name,
            due=due,
        ).received_at(due)


def _moved(when: datetime, jump: timedelta) -> datetime:
    try:
        return when + jump
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC) if jump > timedelta() else datetime.min.replace(tzinfo=UTC)
