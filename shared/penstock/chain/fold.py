"""The fold rule of every reader: accept a record only if it chains to the head, then move head, cursor and state."""

from dataclasses import dataclass, field

from penstock.errors import CorruptError

from .document import Document, digest_of, merge
from .record import Cursor, Record, decode


@dataclass(frozen=True)
class Accepted:
    """A record that counts; `record` is None where its body cannot be read and its target is parked."""

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
        parked: targets with a record that this code cannot read, and where it stands.
        stateful: False for readers that follow another service's log only for its decisions.
    """

    head: str
    next_offset: int = 0
    cursor: Cursor = field(default_factory=dict)
    documents: dict[str, Document] = field(default_factory=dict)
    parked: dict[str, int] = field(default_factory=dict)
    stateful: bool = True

    def offer(self, offset: int, value: bytes) -> Accepted | None:
        """Fold one record; return it if it was accepted.

        Raises:
            CorruptError: the state after the record is not the one that it states.
        """
        if offset < self.next_offset:
            return None
        envelope = decode(value)
        if envelope.prev != self.head:
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
