"""Snapshots in generations: one message a target, then a marker; without its marker a generation does not count."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from penstock.chain.document import Document, canonical
from penstock.chain.fold import Fold
from penstock.chain.record import Cursor


class SnapshotEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message of a generation: a target's document, or (target empty) the marker that completes it."""

    generation: int
    target: str = ""
    document: Document = {}
    head: str = ""
    next_offset: int = 0
    cursor: Cursor = {}
    targets: int = 0
    parked: dict[str, int] = {}


@dataclass(frozen=True)
class Generation:
    """A complete snapshot: its number and the fold that it restores."""

    number: int
    fold: Fold


_entry = msgspec.json.Decoder(SnapshotEntry)


def disassemble(fold: Fold, generation: int) -> Iterator[tuple[str, bytes]]:
    """Yield (key, value) messages, the marker last; keys alternate with the generation so the last one stays whole."""
    side = generation % 2
    for target, document in sorted(fold.documents.items()):
        yield f"{side}/{target}", canonical(SnapshotEntry(generation, target, document))
    marker = SnapshotEntry(
        generation,
        head=fold.head,
        next_offset=fold.next_offset,
        cursor=fold.cursor,
        targets=len(fold.documents),
        parked=fold.parked,
    )
    yield f"{side}/", canonical(marker)


def _entries(values: Iterable[bytes]) -> Iterator[SnapshotEntry]:
    for value in values:
        # What another program wrote here belongs to no generation; a damaged entry leaves its generation incomplete.
        with suppress(msgspec.DecodeError, RecursionError):
            yield _entry.decode(value)


def assemble(values: Iterable[bytes]) -> Generation | None:
    """Return the newest complete generation among the messages of one partition, None if there is none."""
    entries = list(_entries(values))
    for marker in sorted((e for e in entries if not e.target), key=lambda e: e.generation, reverse=True):
        documents = {e.target: e.document for e in entries if e.target and e.generation == marker.generation}
        if len(documents) == marker.targets:
            fold = Fold(marker.head, marker.next_offset, marker.cursor, documents, dict(marker.parked))
            return Generation(marker.generation, fold)
    return None
