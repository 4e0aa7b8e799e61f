"""Dead letters as people see them: each rejected record, the service that rejected it, the reason, and its content."""

from collections import OrderedDict
from typing import Any

from aiokafka import ConsumerRecord

MOST = 2_000
_MOST_SHOWN = 20_000


class DeadLetters:
    """The newest dead letters, oldest first. Attributes: `received` counts all of them.

    Several copies of a service, or one that is started again, may write the same letter: it is shown once.
    """

    def __init__(self) -> None:
        self.received = 0
        self._letters: OrderedDict[tuple[Any, ...], dict[str, Any]] = OrderedDict()

    def receive(self, record: ConsumerRecord) -> None:
        """Add one record of the topic."""
        headers = {name: (value or b"").decode(errors="replace") for name, value in record.headers}
        letter = {
            "topic": headers.get("origin-topic", "-"),
            "partition": _number(headers.get("origin-partition")),
            "offset": _number(headers.get("origin-offset")),
            "service": headers.get("service", "-"),
            "reason": headers.get("reason", "-"),
            "at": record.timestamp,
            "headers": {n.removeprefix("origin-"): v for n, v in headers.items() if _is_own_header(n)},
            "value": (record.value or b"")[:_MOST_SHOWN].decode(errors="replace"),
            "bytes": len(record.value or b""),
        }
        identity = _identity(letter, record)
        if identity in self._letters:
            return
        self.received += 1
        self._letters[identity] = letter
        if len(self._letters) > MOST:
            self._letters.popitem(last=False)

    def newest(self, limit: int) -> list[dict[str, Any]]:
        """Return the newest, newest last."""
        return list(self._letters.values())[-limit:]


def _identity(letter: dict[str, Any], record: ConsumerRecord) -> tuple[Any, ...]:
    """Return what two copies of one letter share; one without an origin is known by its own place."""
    if letter["offset"] is None:
        return record.topic, record.partition, record.offset
    return letter["topic"], letter["partition"], letter["offset"], letter["service"], letter["reason"]


def _is_own_header(name: str) -> bool:
    return name.startswith("origin-") and name not in {"origin-topic", "origin-partition", "origin-offset"}


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdigit() else None
