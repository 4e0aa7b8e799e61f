"""The digest-chained log: one fold rule for every reader; one append holds output, state and positions."""

from penstock.chain.document import Document, diff, digest_of, merge
from penstock.chain.fold import Accepted, Fold
from penstock.chain.record import Cursor, Input, Position, Record, decode, encode, genesis
from penstock.chain.replica import Decide, Decision, Item, Replica
from penstock.chain.snapshot import Generation, SnapshotEntry, assemble, disassemble
from penstock.chain.writer import ChainWriter, Proposal

__all__ = [
    "Accepted",
    "ChainWriter",
    "Cursor",
    "Decide",
    "Decision",
    "Document",
    "Fold",
    "Generation",
    "Input",
    "Item",
    "Position",
    "Proposal",
    "Record",
    "Replica",
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
