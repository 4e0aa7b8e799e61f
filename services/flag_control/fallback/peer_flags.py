"""What an instance that started without Kafka takes from its peers: they may have heard what its disk has not."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from penstock.chain import Document
from penstock.events import Event, KillRequested, from_json, to_json
from services.flag_control.fallback.last_good import Kept
from services.flag_control.flag.state import load


class PeerFlags(msgspec.Struct, frozen=True):
    """What one instance tells another: its flags as it keeps them on disk, and kills that no log has yet."""

    flags: tuple[Kept, ...] = ()
    kills: tuple[Document, ...] = ()


@dataclass(frozen=True)
class NewerFlags:
    """What is new in it.

    Attributes:
        flags: by target, each at a higher version than here, or with a rollback that is not known here.
        kills: every kill ahead of the log; taking one twice is taking it once.
    """

    flags: Mapping[str, Kept]
    kills: tuple[KillRequested, ...]


def newer_flags(known: Mapping[str, Document], ahead: frozenset[str], shared: Iterable[PeerFlags]) -> NewerFlags:
    """Return what the peers have beyond `known`, the accepted documents by target, and `ahead`, ids of events.

    A version rises with every change of a flag, so the higher one is the newer, whoever has it. A rollback ahead of
    an older version than ours may have been decided since, and is left.
    """
    flags: dict[str, Kept] = {}
    kills: dict[str, KillRequested] = {}
    versions = {target: load(document).version for target, document in known.items()}
    for one in shared:
        for kept in one.flags:
            version, best = load(kept.document).version, versions.get(kept.target, 0)
            fresh = any(event.id not in ahead for event, _ in kept.events)
            if version > best or (version == best and fresh):
                flags[kept.target], versions[kept.target] = kept, version
        kills |= {kill.id: kill for kill in map(from_json, one.kills) if isinstance(kill, KillRequested)}
    return NewerFlags(flags, tuple(kills.values()))


def encoded(flags: Iterable[Kept], kills: Iterable[Event]) -> bytes:
    """Return what a peer is told."""
    return msgspec.json.encode({"flags": tuple(flags), "kills": [to_json(kill) for kill in kills]})


def decoded(raw: bytes) -> PeerFlags:
    """Return what a peer tells.

    Raises:
        ValueError: it is of another form; InvalidError: an event in it cannot be read.
    """
    shared = msgspec.json.decode(raw, type=PeerFlags)
    for kept in shared.flags:
        load(kept.document)
        _ = kept.events
    for kill in shared.kills:
        if not isinstance(from_json(kill), KillRequested):
            raise ValueError("what is no kill is not ahead of the log")
    return shared
