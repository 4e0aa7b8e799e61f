"""One record of a log: an envelope that every version can read; a body of inputs, decisions and the state's change."""

import hashlib
from typing import Any

import msgspec

from penstock.chain.document import Document, canonical
from penstock.errors import CorruptError

SCHEMA = 1
"""Version of the body; readers park a target whose record is newer than they know."""

LARGEST = 7 * 1024 * 1024
"""Bytes of a record at most: brokers take 8 MiB with key, headers and the frame around them."""


class Position(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far an input is consumed: its next offset, and its head digest where the input is a chained log."""

    next: int
    head: str | None = None


Cursor = dict[str, Position]
"""Position by input topic."""


class Input(msgspec.Struct, frozen=True, omit_defaults=True):
    """One consumed input.

    Attributes:
        source: topic, or `tick` or `observation`; offset: in the topic's partition, -1 for those two.
        events: as they were read; received: when Penstock had appended them (RFC 3339), which decisions go by. Empty
            in records of versions that went by the events' own times.
    """

    source: str
    offset: int
    events: tuple[Document, ...]
    received: str = ""


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """A record.

    Attributes:
        prev: digest of the last accepted record of the partition, or its genesis.
        cursor: positions of all inputs after this record.
        target: whose state changes; empty for a record that only moves the cursor.
        schema: version of the body.
        inputs: consumed, in order; events: decided, in order.
        patch: merge patch of the target's document; state: digest of the document after it.
        time: event time of the decision, RFC 3339; plan: hash of the plan in force; code: version of the decider.
        error: why the input could not be decided; it is dead-lettered and its target held.
            A writer to which the target was parked claims no state (empty), for it does not know it.
    """

    prev: str
    cursor: Cursor
    target: str
    schema: int = SCHEMA
    inputs: tuple[Input, ...] = ()
    events: tuple[Document, ...] = ()
    patch: Document = {}
    state: str = ""
    time: str = ""
    plan: str = ""
    code: str = ""
    error: str = ""

    @property
    def passes_only(self) -> bool:
        """Whether it only moves the cursor past an input, with no word on the state; decided is nothing then."""
        return bool(self.error) and not self.state and not self.patch and not self.events


class _Envelope(msgspec.Struct, frozen=True):
    prev: str
    cursor: Cursor
    target: str
    schema: int = SCHEMA


class Envelope(msgspec.Struct, frozen=True):
    """What is readable of every record, whatever its body: enough to move the head."""

    prev: str
    cursor: Cursor
    target: str
    schema: int
    digest: str
    record: Record | None
    """None where the body cannot be read: newer, or broken."""


_record = msgspec.json.Decoder(Record)
_envelope = msgspec.json.Decoder(_Envelope)


def genesis(cluster: str, topic: str, partition: int) -> str:
    """Return what the first record of a partition chains to."""
    return hashlib.sha256(f"{cluster}\x1f{topic}\x1f{partition}".encode()).hexdigest()


def encode(record: Record) -> bytes:
    """Return the exact bytes whose SHA-256 is the record's digest."""
    return canonical(record)


def digest(value: bytes) -> str:
    """Return the digest of a record's exact bytes."""
    return hashlib.sha256(value).hexdigest()


def decode(value: bytes) -> Envelope:
    """Return the envelope, with the record where this code can read it.

    Raises:
        CorruptError: not even the envelope can be read.
    """
    try:
        record = _record.decode(value)
    except (msgspec.DecodeError, RecursionError):
        record = None
    head: Any = record
    if record is None or record.schema > SCHEMA:
        record = None
        try:
            head = _envelope.decode(value)
        except (msgspec.DecodeError, RecursionError) as error:
            raise CorruptError(f"a record's envelope cannot be read: {error}") from None
    return Envelope(head.prev, head.cursor, head.target, head.schema, digest(value), record)
