"""A log, two inputs and up to three copies of a decider, moved by arbitrary steps: crashes, stalls, lost appends,
copies of a newer version whose records the others cannot read."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import msgspec

from penstock import ids
from penstock.chain import (
    Decision,
    Document,
    Fold,
    Item,
    Record,
    Replica,
    assemble,
    decode,
    disassemble,
    encode,
    genesis,
)
from penstock.chain import record as record_module
from penstock.chain.replica import TICK, Write
from penstock.events import Event, HoldRequested, TimerFired, from_json

TARGETS = ("test/one/flag", "test/two/flag")
EPOCH = datetime(2030, 1, 1, tzinfo=UTC)
START = genesis("cluster", "some-log", 0)


def decide(target: str, document: Document, event: Event) -> Decision:
    """Order matters, every third hold changes nothing, and a tick counts once: like every real decider."""
    value = document.get("value", 1)
    if isinstance(event, TimerFired):
        if document.get("timers", {}).get("tick") != event.due.isoformat():
            return Decision(document)
        after = {**document, "value": value * 7 % 1000003, "timers": {}, "ticks": document.get("ticks", 0) + 1}
        return Decision(after, (_echo(event, target),))
    number = int(event.id)
    if number % 3 == 2:
        return Decision(document)
    after = {**document, "value": (value * 31 + number) % 1000003}
    if number % 5 == 0:
        after["timers"] = {"tick": (event.time + timedelta(seconds=3)).isoformat()}
    return Decision(after, (_echo(event, target),))


def _echo(event: Event, target: str) -> HoldRequested:
    return HoldRequested(
        id=ids.derive("echo", event.id, target), source="/t", target=target, time=event.time, reason="x"
    )


def hold(number: int, target: str, second: int) -> HoldRequested:
    """Return input number `number`."""
    return HoldRequested(
        id=str(number), source="/t", target=target, time=EPOCH + timedelta(seconds=second), reason="because"
    )


class Newer(Replica):
    """Writes bodies of the next version."""

    def _launch(self, record: Record, value: bytes, item: Item | None = None, after: Document | None = None) -> Write:
        newer = msgspec.structs.replace(record, schema=2)
        return super()._launch(newer, encode(newer), item, after)


@contextmanager
def reading(version: int) -> Iterator[None]:
    """Read records as code of that version does."""
    before, record_module.SCHEMA = record_module.SCHEMA, version
    try:
        yield
    finally:
        record_module.SCHEMA = before


@dataclass
class Copy:
    """One copy of the decider: it may crash, stall, and speak long after it should have been silent."""

    replica: Replica
    version: int = 1
    read: dict[str, int] = field(default_factory=lambda: {"a": 0, "b": 0})
    outbox: list[Write] = field(default_factory=list)
    stalled: bool = False


@dataclass
class World:
    """Everything there is."""

    copies: int = 1
    log: list[bytes] = field(default_factory=list)
    inputs: dict[str, list[Item]] = field(default_factory=lambda: {"a": [], "b": []})
    snapshots: list[bytes] = field(default_factory=list)
    now: int = 0
    generation: int = 0
    newest: int = 1

    def __post_init__(self) -> None:
        self.all = [Copy(Replica(Fold(START), decide, "test")) for _ in range(self.copies)]

    def say(self, source: str, number: int) -> None:
        """One more input."""
        self.now += 1
        target = TARGETS[number % 2]
        offset = len(self.inputs[source])
        event = hold(offset * 2 + (source == "b"), target, self.now)
        self.inputs[source].append(Item(source, offset, target, (event,)))

    def pull(self, copy: Copy, source: str) -> None:
        """The copy hears its next input of a source."""
        if copy.read[source] < len(self.inputs[source]):
            copy.replica.receive(self.inputs[source][copy.read[source]])
            copy.read[source] += 1

    def tick(self, copy: Copy) -> None:
        """The copy hears every timer of its folded state that is due."""
        for target, document in copy.replica.fold.documents.items():
            due = document.get("timers", {}).get("tick")
            if due is not None and datetime.fromisoformat(due) <= EPOCH + timedelta(seconds=self.now):
                moment = datetime.fromisoformat(due)
                event = TimerFired(
                    id=ids.derive("tick", target, due),
                    source="/t",
                    target=target,
                    time=moment,
                    timer="tick",
                    due=moment,
                )
                copy.replica.receive(Item(TICK, -1, target, (event,)))

    def propose(self, copy: Copy, limit: int = 8) -> None:
        """The copy decides ahead of the log."""
        copy.outbox.extend(copy.replica.propose(limit))

    def send(self, copy: Copy) -> None:
        """One append of the copy reaches the log."""
        if copy.outbox:
            self.log.append(copy.outbox.pop(0).value)

    def lose(self, copy: Copy) -> None:
        """The appends under way fail, and the copy is told."""
        copy.outbox.clear()
        copy.replica.resync()

    def repeat(self, number: int) -> None:
        """The network says an old append again."""
        if self.log:
            self.log.append(self.log[number % len(self.log)])

    def fold(self, copy: Copy, most: int = 1 << 30) -> None:
        """The copy reads on in the log."""
        fold = copy.replica.fold
        with reading(copy.version):
            for offset in range(fold.next_offset, min(len(self.log), fold.next_offset + most)):
                copy.replica.accept(offset, self.log[offset])

    def change_version(self, copy: Copy) -> None:
        """The copy is replaced by one of the other version."""
        copy.version, self.newest = 3 - copy.version, 2
        self.crash(copy, appends_arrive=True)

    def crash(self, copy: Copy, appends_arrive: bool) -> None:
        """kill -9: what was under way may or may not arrive; a new copy restores from snapshot and log."""
        if appends_arrive:
            self.log.extend(proposal.value for proposal in copy.outbox)
        copy.outbox.clear()
        generation = assemble(self.snapshots)
        fold = generation.fold if generation is not None else Fold(START)
        copy.replica = (Replica if copy.version == 1 else Newer)(fold, decide, "test")
        self.fold(copy)
        copy.replica.resync()
        cursor = copy.replica.fold.cursor
        copy.read = {source: cursor[source].next if source in cursor else 0 for source in self.inputs}

    def snapshot(self, copy: Copy) -> None:
        """The copy writes a generation of what it has folded, as long as it can read all of it."""
        if copy.replica.fold.parked:
            return
        self.generation += 1
        self.snapshots.extend(value for _, value in disassemble(copy.replica.fold, self.generation))

    def finish(self) -> Copy:
        """One healthy copy, of the newer version if there is one, works off everything that is left."""
        copy = Copy(Replica(Fold(START), decide, "test"), self.newest)
        self.crash(copy, appends_arrive=False)
        while True:
            for source in self.inputs:
                while copy.read[source] < len(self.inputs[source]):
                    self.pull(copy, source)
            self.tick(copy)
            self.propose(copy)
            if not copy.outbox:
                return copy
            while copy.outbox:
                self.send(copy)
            self.fold(copy)

    def verdict(self) -> str:
        """`right`, or what a fresh reader of the log finds wrong."""
        self.finish()
        with reading(self.newest):
            return self._read_again()

    def _read_again(self) -> str:
        reader = Fold(START)
        documents: dict[str, Document] = {}
        met: dict[str, list[int]] = {"a": [], "b": []}
        fired: list[tuple[str, str]] = []
        for offset, value in enumerate(self.log):
            accepted = reader.offer(offset, value)
            if accepted is None or accepted.record is None:
                continue
            for taken in accepted.record.inputs:
                item = self._item(taken.source, taken.offset, decode(value))
                before = documents.get(item.target, {})
                if not accepted.record.error:
                    documents[item.target] = decide(item.target, before, item.events[0]).document
                if taken.source == TICK:
                    fired.append((item.target, item.events[0].id))
                else:
                    met[taken.source].append(taken.offset)
        return self._compare(reader, documents, met, fired)

    def _item(self, source: str, offset: int, envelope: object) -> Item:
        if source != TICK:
            return self.inputs[source][offset]
        record = envelope.record  # type: ignore[attr-defined]
        event = from_json(record.inputs[0].events[0])
        return Item(TICK, -1, record.target, (event,))

    def _compare(
        self,
        reader: Fold,
        documents: dict[str, Document],
        met: dict[str, list[int]],
        fired: list[tuple[str, str]],
    ) -> str:
        for source, offsets in met.items():
            matters = [item.offset for item in self.inputs[source] if int(item.events[0].id) % 3 != 2]
            # An input that passes a parked target is recorded even if it would have changed nothing.
            if offsets != sorted(set(offsets)) or not set(matters) <= set(offsets):
                return f"inputs of {source} lost, repeated or out of order"
        if len(fired) != len(set(fired)):
            return "a tick counted twice"
        if any(reader.documents.get(target, {}) != document for target, document in documents.items()):
            return "the state parted from its history"
        return "right"
