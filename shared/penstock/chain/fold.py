"""The fold rule of every reader: accept a record only if it chains to the head, then move head, cursor and state."""

from dataclasses import dataclass, field

from penstock.chain.document import Document, digest_of, merge
from penstock.chain.record import Cursor, Record, decode, digest
from penstock.errors import CorruptError

_MOST_FOREIGN = 1000


@dataclass(frozen=True)
class Accepted:
    """An accepted record; `record` is None where its body cannot be read and its target is parked."""

    offset: int
    digest: str
    target: str
    record: Record | None
    value: bytes


@dataclass
class Fold:
    """A reader of one partition of one log.

    Attributes:
        head: digest of the last accepted record, or the genesis.
        next_offset: the offset expected next; earlier ones were folded before and are ignored.
        cursor: positions of the log's own inputs.
        documents: state by target.
        parked: targets with a record that this code cannot read, and its offset.
        stateful: False for readers that follow another service's log only for its decisions.
        foreign: digests of the newest records without an envelope, which no Penstock wrote, by offset.
    """

    head: str
    next_offset: int = 0
    cursor: Cursor = field(default_factory=dict)
    documents: dict[str, Document] = field(default_factory=dict)
    parked: dict[str, int] = field(default_factory=dict)
    stateful: bool = True
    foreign: dict[int, str] = field(default_factory=dict)

    def offer(self, offset: int, value: bytes) -> Accepted | None:
        """Fold one record; return it if it was accepted. One without an envelope does not chain: it is skipped.

        Raises:
            CorruptError: the state after the record is not the one that it states, or it chains to one that was passed.
        """
        if offset < self.next_offset:
            return None
        try:
            envelope = decode(value)
        except CorruptError:
            self._pass_foreign(offset, value)
            return None
        if envelope.prev != self.head:
            if envelope.prev in self.foreign.values():
                raise CorruptError(
                    f"the record at offset {offset} chains to one before it whose envelope cannot be read here, so "
                    "that one was no foreign one: stop this service, keep its log, and run a newer version"
                )
            self.next_offset = offset + 1
            return None
        record = envelope.record
        if envelope.target and (record is None or envelope.target in self.parked):
            self.parked.setdefault(envelope.target, offset)
            record = None
        elif record is not None and self.stateful and record.target:
            self._apply(record, offset)
        self.head, self.cursor, self.next_offset = envelope.digest, envelope.cursor, offset + 1
        return Accepted(offset, envelope.digest, envelope.target, record, value)

    def _pass_foreign(self, offset: int, value: bytes) -> None:
        self.foreign[offset] = digest(value)
        if len(self.foreign) > _MOST_FOREIGN:
            self.foreign.pop(next(iter(self.foreign)))
        self.next_offset = offset + 1

    def _apply(self, record: Record, offset: int) -> None:
        if record.passes_only:
            return
        after = merge(self.documents.get(record.target, {}), record.patch)
        if digest_of(after) != record.state:
            raise CorruptError(
                f"the record at offset {offset} states another state of {record.target!r} than its patch gives; "
                "it was damaged, or another program wrote it: stop this service and keep its log"
            )
        if after:
            self.documents[record.target] = after
        else:
            self.documents.pop(record.target, None)
