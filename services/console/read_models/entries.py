"""The events that the console has received: each with its place in Kafka, numbered in the order of receipt."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any

import msgspec

from penstock.events import BY_TYPE, Event, to_json


@dataclass(frozen=True)
class Entry:
    """One event received: `seq` counts from 1 within one life of the console."""

    seq: int
    topic: str
    partition: int
    offset: int
    event: Event

    @property
    def time(self) -> datetime:
        """When it happened by Penstock's clock: what CI stamps on a deploy is data, and orders nothing."""
        return self.event.at if self.topic == "deploys" else self.event.time

    @cached_property
    def encoded(self) -> msgspec.Raw:
        """The event's JSON, encoded once: answers and streams repeat it for every reader."""
        return msgspec.Raw(msgspec.json.encode(to_json(self.event)))

    def numbered(self) -> dict[str, Any]:
        """Return what answers and streams hold of it, with its number and the encoded event."""
        place = {"topic": self.topic, "partition": self.partition, "offset": self.offset}
        return {"seq": self.seq, **place, "event": self.encoded}

    def document(self) -> dict[str, Any]:
        """Return it as the API shows it."""
        return {
            "topic": self.topic,
            "partition": self.partition,
            "offset": self.offset,
            "event": to_json(self.event),
        }


@dataclass(frozen=True)
class Wanted:
    """Which entries somebody asks for; what is empty or None does not restrict.

    Attributes:
        types: patterns of event types, such as `rollback.*`.
        since: earliest time of an event.
        without: event types left out.
    """

    types: tuple[str, ...] = ()
    rollout: str | None = None
    target: str | None = None
    since: datetime | None = None
    without: tuple[str, ...] = ()

    def has(self, entry: Entry) -> bool:
        """Return whether the entry is asked for."""
        event = entry.event
        return (
            (not self.types or any(fnmatchcase(event.type, pattern) for pattern in self.types))
            and event.type not in self.without
            and self.rollout in {None, event.rollout}
            and self.target in {None, event.target}
            and (self.since is None or entry.time >= self.since)
        )


def unknown_types(patterns: Iterable[str]) -> list[str]:
    """Return the patterns that match no type of event."""
    return [pattern for pattern in patterns if not any(fnmatchcase(known, pattern) for known in BY_TYPE)]


def chronological(entries: Iterable[Entry]) -> list[Entry]:
    """Return the entries by time, causes before their effects.

    Topics are read side by side, so after a restart the order of receipt means nothing between topics. All effects of
    one cause have the same time.
    """
    listed = list(entries)
    depths = _depths(listed)
    return sorted(listed, key=lambda entry: (entry.time, depths[entry.event.id], entry.seq))


def _depths(entries: Sequence[Entry]) -> dict[str, int]:
    causes = {entry.event.id: entry.event.cause for entry in entries}
    depths: dict[str, int] = {}
    for entry in entries:
        chain: list[str] = []
        at: str | None = entry.event.id
        while at is not None and at in causes and at not in depths and at not in chain:
            chain.append(at)
            at = causes[at]
        depth = depths.get(at, 0) if at is not None else 0
        for event_id in reversed(chain):
            depth += 1
            depths[event_id] = depth
    return depths
