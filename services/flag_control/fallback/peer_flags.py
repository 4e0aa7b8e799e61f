"""What an instance that started without Kafka adopts from its peers: they may have newer flags than its disk."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from penstock.chain import Document
from penstock.events import Event, KillRequested, from_json, to_json
from services.flag_control.fallback.last_good import SavedFlag
from services.flag_control.flag.state import load


class PeerFlags(msgspec.Struct, frozen=True):
    """What one instance sends to another: its flags as it saves them, and the kills that its log does not have yet."""

    flags: tuple[SavedFlag, ...] = ()
    kills: tuple[Document, ...] = ()


@dataclass(frozen=True)
class NewerFlags:
    """What is new in it.

    Attributes:
        flags: by target, each at a higher version than here, or with a rollback that is not known here.
        kills: every kill ahead of the log; applying one twice changes nothing.
    """

    flags: Mapping[str, SavedFlag]
    kills: tuple[KillRequested, ...]


def newer_flags(known: Mapping[str, Document], ahead: frozenset[str], shared: Iterable[PeerFlags]) -> NewerFlags:
    """Return what the peers have beyond `known`, the accepted documents by target, and `ahead`, ids of events.

    A version rises with every change of a flag, so the higher one is the newer on any instance. A rollback ahead of
    an older version than ours may have been decided since, and is ignored.
    """
    flags: dict[str, SavedFlag] = {}
    kills: dict[str, KillRequested] = {}
    versions = {target: load(document).version for target, document in known.items()}
    for one in shared:
        for saved in one.flags:
            version, best = load(saved.document).version, versions.get(saved.target, 0)
            fresh = any(event.id not in ahead for event, _ in saved.events)
            if version > best or (version == best and fresh):
                flags[saved.target], versions[saved.target] = saved, version
        kills |= {kill.id: kill for kill in map(from_json, one.kills) if isinstance(kill, KillRequested)}
    return NewerFlags(flags, tuple(kills.values()))


def encoded(flags: Iterable[SavedFlag], kills: Iterable[Event]) -> bytes:
    """Return the body of the answer to a peer."""
    return msgspec.json.encode({"flags": tuple(flags), "kills": [to_json(kill) for kill in kills]})


def decoded(raw: bytes) -> PeerFlags:
    """Return the body of a peer's answer, decoded.

    Raises:
        ValueError: it is of another form; InvalidError: an event in it cannot be read.
    """
    shared = msgspec.json.decode(raw, type=PeerFlags)
    for saved in shared.flags:
        load(saved.document)
        _ = saved.events
    for kill in shared.kills:
        if not isinstance(from_json(kill), KillRequested):
            raise ValueError("only kills can be ahead of the log")
    return shared
