"""Histories made in memory by the real deciders: each appends to its own chained log and folds those of the others."""

from collections import deque
from collections.abc import Iterable, Mapping

from penstock.chain import Decide, Fold, Item, Replica, genesis
from penstock.events import Event, from_json
from penstock.replay import History, Line
from penstock.topics import BY_NAME, log_of

CLUSTER = "memory"


class Recorder:
    """Services on one partition, each hearing what the table of topics says it hears."""

    def __init__(
        self, deciders: Mapping[str, Decide], cluster: str = CLUSTER, prefix: str = "", partition: int = 0
    ) -> None:
        self.lines: list[Line] = []
        self._place = cluster, prefix, partition
        self._services = {
            name: Replica(Fold(genesis(cluster, f"{prefix}{log_of(name).name}", partition)), decide, "1.0")
            for name, decide in deciders.items()
        }
        self._offsets: dict[str, int] = {}

    @property
    def history(self) -> History:
        """What stands in the logs."""
        return History(*self._place, tuple(self.lines))

    def document(self, service: str, target: str) -> dict[str, object]:
        """The accepted state of a service."""
        return self._services[service].fold.documents.get(target, {})

    def play(self, inputs: Iterable[tuple[str, Event]]) -> None:
        """Hear events from topics, in order; what they lead to is heard at once."""
        for source, event in inputs:
            self.put(source, event)

    def put(self, source: str, event: Event) -> None:
        """Hear one event from a topic."""
        event = event.received_at(event.time)
        queue = deque([(source, Item(source, self._next(source), event.target, (event,), self._head(source)))])
        while queue:
            topic, item = queue.popleft()
            for name in self._hearers(topic):
                queue.extend(self._hear(name, item))

    def _hear(self, name: str, item: Item) -> list[tuple[str, Item]]:
        replica, log, said = self._services[name], log_of(name).name, []
        replica.receive(item)
        for proposal in replica.propose():
            offset = self._next(log)
            self.lines.append(Line(log, offset, proposal.value))
            accepted = replica.accept(offset, proposal.value)
            assert accepted is not None
            assert accepted.record is not None
            events = tuple(event.received_at(event.time) for event in map(from_json, accepted.record.events))
            if events:
                said.append((log, Item(log, offset, accepted.target, events, accepted.digest)))
        return said

    def _hearers(self, topic: str) -> list[str]:
        return [name for name in self._services if name in BY_NAME[topic].consumers and name != BY_NAME[topic].producer]

    def _next(self, topic: str) -> int:
        self._offsets[topic] = self._offsets.get(topic, -1) + 1
        return self._offsets[topic]

    def _head(self, topic: str) -> str | None:
        return f"{topic}-{self._offsets[topic]}" if topic == "window-log" else None
