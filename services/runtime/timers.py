"""Which folded timers are due: a heap over what the state documents name under `timers`."""

import heapq
from collections.abc import Iterator
from datetime import datetime

from penstock import ids
from penstock.chain import Document
from penstock.events import TimerFired


class Timers:
    """Timers of one partition's targets."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._armed: dict[str, dict[str, datetime]] = {}
        self._heap: list[tuple[datetime, str, str]] = []
        self._fired: set[tuple[str, str, datetime]] = set()

    def note(self, target: str, document: Document) -> None:
        """Take a target's state as folded."""
        named = {name: datetime.fromisoformat(due) for name, due in document.get("timers", {}).items()}
        before = self._armed.get(target, {})
        self._armed[target] = named
        for name, due in named.items():
            if before.get(name) != due:
                heapq.heappush(self._heap, (due, target, name))
        self._fired = {fired for fired in self._fired if fired[0] != target}

    def due(self, now: datetime) -> Iterator[TimerFired]:
        """Yield each armed timer that is due, once until its target's state changes."""
        again = []
        while self._heap and self._heap[0][0] <= now:
            due, target, name = heapq.heappop(self._heap)
            if self._armed.get(target, {}).get(name) != due:
                continue
            again.append((due, target, name))
            if (target, name, due) not in self._fired:
                self._fired.add((target, name, due))
                yield self._event(target, name, due)
        for entry in again:
            heapq.heappush(self._heap, entry)

    def _event(self, target: str, name: str, due: datetime) -> TimerFired:
        return TimerFired(
            id=ids.derive("timer.fired", target, name, due.isoformat()),
            source=self._source,
            target=target,
            time=due,
            timer=name,
            due=due,
        )
