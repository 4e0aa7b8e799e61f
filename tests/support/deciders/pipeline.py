"""The deciders chained in memory: logs are lists, and every delivery is a step that a test may order as it likes."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import penstock
from penstock.chain import Decide, Fold, Item, Record, Replica, digest_of, encode, genesis
from penstock.chain.record import digest
from penstock.chain.replica import OBSERVATION, TICK
from penstock.events import Event, from_json, to_json


@dataclass
class Node:
    """One decider on one partition."""

    name: str
    log: str
    decide: Decide
    plain: tuple[str, ...]
    chained: tuple[str, ...]
    replica: Replica = field(init=False)
    folds: dict[str, Fold] = field(init=False)
    read: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self.restart(None)

    def restart(self, log: list[bytes] | None) -> None:
        """Begin anew, from the log alone."""
        self.replica = Replica(Fold(genesis("c", self.log, 0)), self.decide, penstock.__version__)
        for offset, value in enumerate(log or []):
            self.replica.accept(offset, value)
        self.replica.resync()
        cursor = self.replica.fold.cursor
        self.read = {source: cursor[source].next if source in cursor else 0 for source in (*self.plain, *self.chained)}
        self.folds = {}
        for source in self.chained:
            place = cursor.get(source)
            head = place.head if place is not None and place.head is not None else genesis("c", source, 0)
            self.folds[source] = Fold(head, self.read[source], stateful=False)


class Pipeline:
    """Nodes, their logs, and the plain topics.

    Args:
        clock: of the broker, which stamps each record; without it a record is stamped with the time of its event.

    Attributes:
        said: every accepted event of every log, in the order of acceptance.
    """

    def __init__(self, *nodes: Node, clock: Callable[[], datetime] | None = None) -> None:
        self._clock = clock
        self._appended: dict[tuple[str, int], datetime] = {}
        self.nodes = {node.name: node for node in nodes}
        self.logs: dict[str, list[bytes]] = {node.log: [] for node in nodes} | {"window-log": []}
        self.topics: dict[str, list[Event]] = {}
        self.said: list[Event] = []
        self._window_head = genesis("c", "window-log", 0)

    def publish(self, topic: str, event: Event) -> None:
        """Say an event on a plain topic."""
        events = self.topics.setdefault(topic, [])
        self._stamp(topic, len(events))
        events.append(event)

    def close_window(self, window: Event) -> None:
        """Append a window as ingestion does."""
        document = {"last": window.id}
        record = Record(
            self._window_head, {}, window.target, events=(to_json(window),), patch=document, state=digest_of(document)
        )
        value = encode(record)
        self._window_head = digest(value)
        self._stamp("window-log", len(self.logs["window-log"]))
        self.logs["window-log"].append(value)

    def tick(self, name: str, event: Event) -> None:
        """Let a node hear a timer."""
        self.nodes[name].replica.receive(Item(TICK, -1, event.target, (event.received_at(event.time),)))

    def observe(self, name: str, event: Event) -> None:
        """Let a node hear something that its copy saw."""
        self.nodes[name].replica.receive(Item(OBSERVATION, -1, event.target, (event,)))

    def settle(self, rng: random.Random | None = None, crash: float = 0.0) -> None:
        """Deliver until nothing is left, in order or (with `rng`) in any order, crashing nodes with a probability."""
        while True:
            moves = [(node, source) for node in self.nodes.values() for source in self._open(node)]
            idle = [node for node in self.nodes.values() if self._decide(node)]
            if not moves and not idle:
                return
            if moves:
                node, source = rng.choice(moves) if rng is not None else moves[0]
                self._deliver(node, source)
            if rng is not None and rng.random() < crash:
                victim = rng.choice(list(self.nodes.values()))
                victim.restart(self.logs[victim.log])

    def _open(self, node: Node) -> list[str]:
        ends = {source: len(self.topics.get(source, [])) for source in node.plain}
        ends |= {source: len(self.logs[source]) for source in node.chained if source in self.logs}
        return [source for source, end in ends.items() if node.read[source] < end]

    def _deliver(self, node: Node, source: str) -> None:
        offset = node.read[source]
        node.read[source] += 1
        if source in node.folds:
            accepted = node.folds[source].offer(offset, self.logs[source][offset])
            if accepted is not None and accepted.record is not None and accepted.record.events:
                events = tuple(self._received(source, offset, from_json(d)) for d in accepted.record.events)
                node.replica.receive(Item(source, offset, accepted.target, events, accepted.digest))
        else:
            event = self._received(source, offset, self.topics[source][offset])
            node.replica.receive(Item(source, offset, event.target, (event,)))

    def _decide(self, node: Node) -> bool:
        proposals = node.replica.propose()
        log = self.logs[node.log]
        for proposal in proposals:
            self._stamp(node.log, len(log))
            log.append(proposal.value)
            accepted = node.replica.accept(len(log) - 1, proposal.value)
            assert accepted is not None
            assert accepted.record is not None
            self.said.extend(from_json(document) for document in accepted.record.events)
        return bool(proposals)

    def _stamp(self, topic: str, offset: int) -> None:
        if self._clock is not None:
            self._appended[(topic, offset)] = self._clock()

    def _received(self, topic: str, offset: int, event: Event) -> Event:
        return event.received_at(self._appended.get((topic, offset), event.time))

    def types(self, prefix: str = "") -> list[str]:
        """Types of what was said, in order."""
        return [event.type for event in self.said if event.type.startswith(prefix)]

    def decisions(self, *types: str) -> list[tuple[str, str]]:
        """(type, id) of what was said of these types (all without any), in order."""
        return [(event.type, event.id) for event in self.said if not types or event.type in types]
