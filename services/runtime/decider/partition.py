"""One partition of a decider: reads its inputs, proposes records, folds its log; each call is one atomic step."""

import asyncio
import base64
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from aiokafka import ConsumerRecord
from aiokafka.errors import MessageSizeTooLargeError
from aiokafka.structs import RecordMetadata

from penstock.chain import Accepted, Document, Fold, Item, Record, Replica, decode
from penstock.chain.failures import UNSEALED
from penstock.chain.replica import OBSERVATION, TICK, Write
from penstock.errors import InvalidError
from penstock.events import Event, from_json
from penstock.events.cdevents.model import PREFIX
from penstock.events.cloudevents import from_kafka
from services.runtime.kafka.messages import received
from services.runtime.kafka.seals import NO_SEALS, Seals
from services.runtime.process.service import Parked

log = logging.getLogger(__name__)

StillDue = Callable[[Document, Sequence[Event]], Iterable[Event]]
"""(document, skipped events of its target) -> those of them that must still be decided."""

TRACE_HEADERS = frozenset({"traceparent", "tracestate"})


@dataclass
class Hooks:
    """What the worker calls its shell for.

    Attributes:
        propose: append these records in order; the futures' outcomes come back through `on_appended`.
        accepted: a record counts (its trace headers with it).
        received: an input arrived, before it is decided.
        foreign: a record of a log was skipped that no Penstock wrote.
    """

    propose: Callable[[list[Write]], None]
    accepted: Callable[[Accepted, Mapping[str, bytes]], None]
    received: Callable[[Item], None]
    foreign: Callable[[ConsumerRecord], None] = lambda _: None


@dataclass
class PartitionWorker:
    """A decider's replica on one partition.

    Attributes:
        log: name in Kafka of the own log; chained: fold by name of each chained input; the other inputs are plain.
        table: name in the table by name in Kafka, the own log's too.
        unreadable: targets by chained input with the offset of the first record that could not be read.
        seals: what tells records of services from others'.
        skipped: events by target that an earlier version could not read and this one can; in order.
    """

    log: str
    replica: Replica
    chained: dict[str, Fold]
    table: Mapping[str, str]
    hooks: Hooks
    seals: Seals = NO_SEALS
    deciding: bool = False
    unreadable: dict[str, dict[str, int]] = field(default_factory=dict)
    skipped: dict[str, list[Event]] = field(default_factory=dict)
    _early: dict[int, bytes] = field(default_factory=dict)
    _trace: dict[str, Mapping[str, bytes]] = field(default_factory=dict)

    def read(self, record: ConsumerRecord) -> None:
        """Fold one record of the own log, or queue one of an input."""
        headers = {name: value for name, value in record.headers if name in TRACE_HEADERS and value}
        # A record without a value is unreadable like any other rubbish; it must not be deadly.
        value: bytes = record.value or b""
        chained = record.topic == self.log or self.table[record.topic] in self.chained
        problem = self.seals.problem(record, chained)
        if problem is not None and chained:
            # Passed like any other record that no Penstock wrote.
            value = b""
        if record.topic == self.log:
            self.fold(record.offset, value, headers)
            if record.offset in self.replica.fold.foreign:
                self.hooks.foreign(record)
            return
        source = self.table[record.topic]
        fold = self.chained.get(source)
        if fold is not None:
            item = _decided_in(source, fold, record.offset, value, headers)
            if item is not None:
                self._receive(item, record)
            elif record.offset in fold.foreign:
                self.hooks.foreign(record)
            return
        if problem is not None:
            self._receive(Item(source, record.offset, "", (), error=UNSEALED + problem, raw=value), record)
            return
        try:
            event = from_kafka(value, record.headers)
            item = Item(source, record.offset, event.target, (event,), headers=_text(headers))
        except Exception as error:
            reason = _reason(error) if _is_of_penstock(record) else f"{UNSEALED}no Penstock wrote it: {_reason(error)}"
            item = Item(source, record.offset, "", (), error=reason, raw=value)
        self._receive(item, record)

    def start_deciding(self, still_due: StillDue | None) -> None:
        """Decide from now on, first what is still due of the events that an earlier version skipped."""
        self.deciding = True
        if still_due is not None:
            self.decide_skipped(still_due)

    def decide_skipped(self, still_due: StillDue) -> None:
        """Queue what is still due of the skipped events, except those of targets that this version must park, too."""
        parked = {target for targets in self.unreadable.values() for target in targets}
        for target, events in self.skipped.items():
            if target not in parked:
                for event in still_due(self.replica.fold.documents.get(target, {}), events):
                    log.warning("%s: %s, which an earlier version could not read, is processed now", target, event.type)
                    self.observe(event, {})
        self.skipped.clear()

    def parked(self) -> Iterator[Parked]:
        """Yield the targets behind a record that this version cannot read, of the own log or of a chained input."""
        for name, fold in {self.table[self.log]: self.replica.fold, **self.chained}.items():
            for target, offset in fold.parked.items():
                yield Parked(target, name, offset)

    def tick(self, event: Event) -> None:
        """Queue a due timer."""
        self.replica.receive(Item(TICK, -1, event.target, (event,)))

    def observe(self, event: Event, headers: Mapping[str, str]) -> None:
        """Queue something that this replica saw itself, such as the answer to a webhook."""
        self.replica.receive(Item(OBSERVATION, -1, event.target, (event,), headers=headers))

    def pump(self, mark: bool = False) -> None:
        """Decide what waits, ahead of the acknowledgements; with `mark`, record how far inputs changed nothing."""
        if self.deciding:
            proposals = self.replica.propose(mark=mark)
            if proposals:
                self.hooks.propose(proposals)

    def fold(self, offset: int, value: bytes, headers: Mapping[str, bytes]) -> None:
        """Fold one record of the own log, and those acknowledged ahead of it."""
        self._fold_one(offset, value, headers)
        while (ahead := self._early.pop(self.replica.fold.next_offset, None)) is not None:
            self._fold_one(self.replica.fold.next_offset, ahead, {})

    def _fold_one(self, offset: int, value: bytes, headers: Mapping[str, bytes]) -> None:
        accepted = self.replica.accept(offset, value)
        if accepted is None:
            return
        if accepted.record is not None and accepted.record.error:
            self._note_skipped(accepted.record)
        self.hooks.accepted(accepted, self._trace.pop(accepted.digest, headers))

    def _note_skipped(self, record: Record) -> None:
        # The own log remembers what a chained input has parked: a restart begins behind the record that did it.
        passed = [(taken, document) for taken in record.inputs for document in taken.events if record.target]
        for taken, document in passed:
            events = _passed_events(document)
            if events is None:
                self.unreadable.setdefault(taken.source, {}).setdefault(record.target, taken.offset)
            elif events and not self.deciding:
                self.skipped.setdefault(record.target, []).extend(events)

    def on_appended(
        self, proposal: Write, headers: Mapping[str, bytes], future: "asyncio.Future[RecordMetadata]"
    ) -> None:
        """Fold an append once it is acknowledged, without waiting for the consumer to read it; resync if it failed."""
        error = None if future.cancelled() else future.exception()
        if isinstance(error, MessageSizeTooLargeError):
            self.replica.limit_size(len(proposal.value))
        if future.cancelled() or error is not None:
            # It may have arrived all the same: the log tells, and a second try of the same bytes does no harm.
            self.replica.resync()
            return
        self._trace[proposal.digest] = headers
        offset = future.result().offset
        if offset == self.replica.fold.next_offset:
            self.fold(offset, proposal.value, headers)
        elif offset > self.replica.fold.next_offset:
            self._early[offset] = proposal.value
        if len(self._trace) > 1000:
            self._trace.pop(next(iter(self._trace)))

    def _receive(self, item: Item, record: ConsumerRecord) -> None:
        item = replace(item, events=tuple(received(event, record) for event in item.events))
        self.hooks.received(item)
        self.replica.receive(item)


def _decided_in(source: str, fold: Fold, offset: int, value: bytes, headers: Mapping[str, bytes]) -> Item | None:
    """Return what a record of a chained input decided; with its error, where that cannot be known."""
    accepted = fold.offer(offset, value)
    if accepted is None or not accepted.target:
        return None
    events: tuple[Event, ...] = ()
    why = ""
    if accepted.record is not None:
        try:
            events = tuple(from_json(document) for document in accepted.record.events)
        except Exception as error:
            fold.parked[accepted.target], why = offset, f" ({_reason(error)})"
    if accepted.target in fold.parked:
        # What the rest of this log says of the target builds on what was missed; other inputs are decided as ever,
        # a kill above all.
        at = fold.parked[accepted.target]
        why = f"{accepted.target}: {source} has a record at offset {at} that this version cannot read{why}"
        return Item(source, offset, accepted.target, (), accepted.digest, _text(headers), error=why, raw=value)
    return Item(source, offset, accepted.target, events, accepted.digest, _text(headers)) if events else None


def _passed_events(document: Document) -> tuple[Event, ...] | None:
    """Return the events of a record that was passed whole, None where this version cannot read them either."""
    if "raw" not in document:
        return None if document.get("unreadable") else ()
    try:
        record = decode(base64.b64decode(document["raw"])).record
        return tuple(from_json(event) for event in record.events) if record is not None else None
    except Exception:
        return None


_OUR_TYPES = PREFIX.encode()


def _is_of_penstock(record: ConsumerRecord) -> bool:
    """Return whether the record names a type of ours: what another program wrote is no failure of this version."""
    return any(name == "ce_type" and (value or b"").startswith(_OUR_TYPES) for name, value in record.headers)


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, InvalidError) else f"{type(error).__name__}: {error}"


def _text(headers: Mapping[str, bytes]) -> dict[str, str]:
    return {name: value.decode("ascii", "replace") for name, value in headers.items()}
