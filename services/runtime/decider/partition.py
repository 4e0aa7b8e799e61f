"""One partition of a decider at work: inputs in, records out, the log folded; between two awaits is one step."""

import asyncio
import base64
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from aiokafka import ConsumerRecord
from aiokafka.errors import MessageSizeTooLargeError
from aiokafka.structs import RecordMetadata

from penstock.chain import Accepted, Document, Fold, Item, Participant, Record, decode
from penstock.chain.participant import OBSERVATION, TICK, Proposal
from penstock.errors import CorruptError, InvalidError
from penstock.events import Event, from_json
from penstock.events.cloudevents import from_kafka
from services.runtime.kafka.messages import received
from services.runtime.process.service import Parked

log = logging.getLogger(__name__)

StillDue = Callable[[Document, Sequence[Event]], Iterable[Event]]
"""(document, late events of its target) -> those of them that must be taken all the same."""

TRACE_HEADERS = frozenset({"traceparent", "tracestate"})


@dataclass
class Hooks:
    """What the worker tells its shell.

    Attributes:
        propose: append these records in order; the futures' outcomes come back through `settle`.
        accepted: a record counts (its trace headers with it).
        heard: an input arrived, before it is decided.
        foreign: a record of a log was passed that no Penstock wrote.
    """

    propose: Callable[[list[Proposal]], None]
    accepted: Callable[[Accepted, Mapping[str, bytes]], None]
    heard: Callable[[Item], None]
    foreign: Callable[[ConsumerRecord], None] = lambda _: None


@dataclass
class PartitionWorker:
    """A decider's copy on one partition.

    Attributes:
        log: name in Kafka of the own log; chained: fold by name of each chained input; the rest is plain.
        table: name in the table by name in Kafka, the own log's too.
        missed: targets by chained input with the first record that was passed because it could not be read.
        late: events by target that an earlier version passed like that, and that can be read now; in order.
    """

    log: str
    participant: Participant
    chained: dict[str, Fold]
    table: Mapping[str, str]
    hooks: Hooks
    deciding: bool = False
    missed: dict[str, dict[str, int]] = field(default_factory=dict)
    late: dict[str, list[Event]] = field(default_factory=dict)
    _early: dict[int, bytes] = field(default_factory=dict)
    _trace: dict[str, Mapping[str, bytes]] = field(default_factory=dict)

    def take(self, record: ConsumerRecord) -> None:
        """Take one record of the own log or of an input."""
        headers = {name: value for name, value in record.headers if name in TRACE_HEADERS and value}
        # A record without a value is unreadable like any other rubbish; it must not be deadly.
        value: bytes = record.value or b""
        if record.topic == self.log:
            self.fold(record.offset, value, headers)
            if record.offset in self.participant.fold.foreign:
                self.hooks.foreign(record)
            return
        source = self.table[record.topic]
        fold = self.chained.get(source)
        if fold is not None:
            item = _decided_in(source, fold, record.offset, value, headers)
            if item is not None:
                self._hear(item, record)
            elif record.offset in fold.foreign:
                self.hooks.foreign(record)
            return
        try:
            event = from_kafka(value, record.headers)
        except InvalidError as error:
            self._hear(Item(source, record.offset, "", (), error=str(error), raw=value), record)
            return
        self._hear(Item(source, record.offset, event.target, (event,), headers=_text(headers)), record)

    def begin(self, still_due: StillDue | None) -> None:
        """Decide from now on, first what is still due of what an earlier version passed."""
        self.deciding = True
        if still_due is not None:
            self.take_late(still_due)

    def take_late(self, still_due: StillDue) -> None:
        """Take what is still due of what an earlier version passed, unless its target is parked for this one, too."""
        parked = {target for targets in self.missed.values() for target in targets}
        for target, events in self.late.items():
            if target not in parked:
                for event in still_due(self.participant.fold.documents.get(target, {}), events):
                    log.warning("%s: %s, which an earlier version could not read, is taken now", target, event.type)
                    self.observe(event, {})
        self.late.clear()

    def parked(self) -> Iterator[Parked]:
        """Yield the targets behind a record that this version cannot read, of the own log or of a chained input."""
        for name, fold in {self.table[self.log]: self.participant.fold, **self.chained}.items():
            for target, offset in fold.parked.items():
                yield Parked(target, name, offset)

    def tick(self, event: Event) -> None:
        """Take a due timer."""
        self.participant.hear(Item(TICK, -1, event.target, (event,)))

    def observe(self, event: Event, headers: Mapping[str, str]) -> None:
        """Take something this copy saw itself, such as a webhook's answer."""
        self.participant.hear(Item(OBSERVATION, -1, event.target, (event,), headers=headers))

    def pump(self, mark: bool = False) -> None:
        """Decide what waits, ahead of the acknowledgements; with `mark`, record how far inputs changed nothing."""
        if self.deciding:
            proposals = self.participant.propose(mark=mark)
            if proposals:
                self.hooks.propose(proposals)

    def fold(self, offset: int, value: bytes, headers: Mapping[str, bytes]) -> None:
        """Fold one record of the own log, and those acknowledged ahead of it."""
        self._fold_one(offset, value, headers)
        while (ahead := self._early.pop(self.participant.fold.next_offset, None)) is not None:
            self._fold_one(self.participant.fold.next_offset, ahead, {})

    def _fold_one(self, offset: int, value: bytes, headers: Mapping[str, bytes]) -> None:
        accepted = self.participant.observe(offset, value)
        if accepted is None:
            return
        if accepted.record is not None and accepted.record.error:
            self._note_missed(accepted.record)
        self.hooks.accepted(accepted, self._trace.pop(accepted.digest, headers))

    def _note_missed(self, record: Record) -> None:
        # The own log remembers what a chained input has parked: a restart begins behind the record that did it.
        passed = [(taken, document) for taken in record.inputs for document in taken.events if record.target]
        for taken, document in passed:
            events = _passed_events(document)
            if events is None:
                self.missed.setdefault(taken.source, {}).setdefault(record.target, taken.offset)
            elif events and not self.deciding:
                self.late.setdefault(record.target, []).extend(events)

    def settle(
        self, proposal: Proposal, headers: Mapping[str, bytes], future: "asyncio.Future[RecordMetadata]"
    ) -> None:
        """Take the fate of an append: folding it at once saves the way back through the consumer."""
        error = None if future.cancelled() else future.exception()
        if isinstance(error, MessageSizeTooLargeError):
            self.participant.bound(len(proposal.value))
        if future.cancelled() or error is not None:
            # It may have arrived all the same: the log tells, and a second try of the same bytes does no harm.
            self.participant.rewind()
            return
        self._trace[proposal.digest] = headers
        offset = future.result().offset
        if offset == self.participant.fold.next_offset:
            self.fold(offset, proposal.value, headers)
        elif offset > self.participant.fold.next_offset:
            self._early[offset] = proposal.value
        if len(self._trace) > 1000:
            self._trace.pop(next(iter(self._trace)))

    def _hear(self, item: Item, record: ConsumerRecord) -> None:
        item = replace(item, events=tuple(received(event, record) for event in item.events))
        self.hooks.heard(item)
        self.participant.hear(item)


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
        except InvalidError as error:
            fold.parked[accepted.target], why = offset, f" ({error})"
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
    except (CorruptError, InvalidError):
        return None


def _text(headers: Mapping[str, bytes]) -> dict[str, str]:
    return {name: value.decode("ascii", "replace") for name, value in headers.items()}
