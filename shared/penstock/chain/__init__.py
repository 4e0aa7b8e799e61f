"""The digest-chained log: one fold rule for every reader; one append moves output, state and progress together."""

from penstock.chain.document import Document, diff, digest_of, merge
from penstock.chain.fold import Accepted, Fold
from penstock.chain.participant import Decide, Decision, Item, Participant
from penstock.chain.record import Cursor, Input, Position, Record, decode, encode, genesis
from penstock.chain.snapshot import Generation, SnapshotEntry, assemble, disassemble

__all__ = [
    "Accepted",
    "Cursor",
    "Decide",
    "Decision",
    "Document",
    "Fold",
    "Generation",
    "Input",
    "Item",
    "Participant",
    "Position",
    "Record",
    "SnapshotEntry",
    "assemble",
    "decode",
    "diff",
    "digest_of",
    "disassemble",
    "encode",
    "genesis",
    "merge",
]
