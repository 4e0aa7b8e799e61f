"""Dead letters as people see them: why a record was refused, when, by which service, and where it is."""

import base64
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiokafka import ConsumerRecord

MOST = 2_000
_MOST_SHOWN = 20_000
_COUNTED = re.compile(r".*: \d+ problems?")
_NUMBER = re.compile(r"[0-9]{1,18}")
_PLACE = frozenset({"origin-topic", "origin-partition", "origin-offset"})

Place = tuple[str, int, int]
"""Origin of a refused record: topic without prefix, partition, offset."""


_Identity = tuple[Place, str, str, tuple[int, int] | None]


@dataclass
class Letter:
    """One record that a service refused for one reason, however often it was dead-lettered.

    Attributes:
        kept: partition and offset of the newest copy on `dead-letters`.
        first, last: milliseconds; when its first and its newest copy were appended.
        headers: of the refused record.
        redriven: who redrove it, why, when and to where; None until then.
    """

    service: str
    place: Place
    kept: tuple[int, int]
    first: int
    last: int
    reason: str
    headers: dict[str, str]
    value: bytes
    size: int
    times: int = 1
    redriven: dict[str, Any] | None = field(default=None)

    @property
    def id(self) -> str:
        """The origin in letters: `topic/partition@offset`."""
        return "{}/{}@{}".format(*self.place)

    def document(self) -> dict[str, Any]:
        """Return it as JSON values, the reason first."""
        topic, partition, offset = self.place
        shown: dict[str, Any] = {
            "reason": self.reason,
            "problem": first_problem(self.reason),
            "received": _moment(self.first),
            "last_received": _moment(self.last),
            "times": self.times,
            "service": self.service,
            "place": self.id,
            "topic": topic,
            "partition": partition if partition >= 0 else None,
            "offset": offset if offset >= 0 else None,
            "key": self.headers.get("key"),
            "at": self.last,
            "redriven": self.redriven,
            "headers": self.headers,
            "value": self.value.decode(errors="replace"),
            "bytes": self.size,
        }
        return shown if _is_text(self.value) else {**shown, "base64": base64.b64encode(self.value).decode()}


class DeadLetters:
    """The newest dead letters. A record refused again for the same reason, as after a restart, is one letter.

    Args:
        prefix: of the topic names; letters of former versions hold it.

    Attributes:
        received: counts every letter, repeats apart.
    """

    def __init__(self, prefix: str = "") -> None:
        self.received = 0
        self._prefix = prefix
        self._letters: OrderedDict[_Identity, Letter] = OrderedDict()
        self._redriven: OrderedDict[Place, dict[str, Any]] = OrderedDict()

    def receive(self, record: ConsumerRecord) -> None:
        """Add one record of the topic: a letter, its repeat, or the mark that it was redriven."""
        headers = {name: (value or b"").decode(errors="replace") for name, value in record.headers}
        place = self._place(headers)
        if "redriven-by" in headers:
            self.mark_redriven(place, redriven_of(headers, record.timestamp))
            return
        # One that names no origin is known by its own place: nothing tells which record it is about.
        own = None if place[2] >= 0 else (record.partition, record.offset)
        name = (place, headers.get("service", "-"), headers.get("reason", "-"), own)
        known = self._letters.get(name)
        if known is None:
            self.received += 1
            self._letters[name] = self._letter(place, headers, record)
            while len(self._letters) > MOST:
                self._letters.popitem(last=False)
            return
        known.first, known.last = min(known.first, record.timestamp), max(known.last, record.timestamp)
        known.times, known.kept = known.times + 1, (record.partition, record.offset)

    def mark_redriven(self, place: Place, redriven: dict[str, Any]) -> None:
        """Record that the input at that place was published again; its first redrive counts."""
        self._redriven.setdefault(place, redriven)
        while len(self._redriven) > MOST:
            self._redriven.popitem(last=False)
        for letter in self.at(place):
            letter.redriven = letter.redriven or redriven

    def at(self, place: Place) -> list[Letter]:
        """Return the letters of one record, one for each service that refused it and each reason."""
        return [letter for letter in self._letters.values() if letter.place == place]

    def place_of(self, text: str) -> Place | None:
        """Return the place that `topic/partition@offset` names, with or without the prefix; None for other text."""
        topic, _, numbers = text.rpartition("/")
        partition, _, offset = numbers.partition("@")
        if not topic or not _NUMBER.fullmatch(partition) or not _NUMBER.fullmatch(offset):
            return None
        return topic.removeprefix(self._prefix), int(partition), int(offset)

    def newest(self, limit: int, wanted: Callable[[Letter], bool] = lambda _: True) -> list[dict[str, Any]]:
        """Return the newest that are wanted, newest last."""
        found = sorted(filter(wanted, self._letters.values()), key=lambda letter: letter.last)
        return [letter.document() for letter in found[-limit:]]

    def _place(self, headers: Mapping[str, str]) -> Place:
        topic = headers.get("origin-topic", "-").removeprefix(self._prefix)
        return topic, _number(headers.get("origin-partition")), _number(headers.get("origin-offset"))

    def _letter(self, place: Place, headers: Mapping[str, str], record: ConsumerRecord) -> Letter:
        value = record.value or b""
        return Letter(
            service=headers.get("service", "-"),
            place=place,
            kept=(record.partition, record.offset),
            first=record.timestamp,
            last=record.timestamp,
            reason=headers.get("reason", "-"),
            headers={n.removeprefix("origin-"): v for n, v in headers.items() if _is_own_header(n)},
            value=value[:_MOST_SHOWN],
            size=len(value),
            redriven=self._redriven.get(place),
        )


def first_problem(reason: str) -> str:
    """Return the first problem in words; `event: 1 problem` alone tells nobody what to mend."""
    lines = [line.strip() for line in reason.splitlines() if line.strip()]
    if not lines:
        return "-"
    if len(lines) == 1 or not _COUNTED.fullmatch(lines[0]):
        return lines[0]
    more = len(lines) - 2
    return lines[1] + (f" (and {more} more)" if more else "")


def redriven_of(headers: Mapping[str, str], at: int) -> dict[str, Any]:
    """Return who redrove a record, why, when and to where, from the headers of its mark."""
    return {
        "by": headers.get("redriven-by", "-"),
        "reason": headers.get("redriven-reason", "-"),
        "to": headers.get("redriven-to", "-"),
        "at": _moment(at),
    }


def _moment(milliseconds: int) -> str | None:
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):
        return None


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError as error:
        # The last character may have been cut.
        return len(value) == _MOST_SHOWN and error.start > len(value) - 4
    return True


def _is_own_header(name: str) -> bool:
    return name.startswith("origin-") and name not in _PLACE


def _number(text: str | None) -> int:
    return int(text) if text is not None and _NUMBER.fullmatch(text) else -1
