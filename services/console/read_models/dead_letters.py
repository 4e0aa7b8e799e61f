"""Dead letters as people see them: each rejected record, the service that rejected it, the reason, and its content."""

from collections import deque
from typing import Any

from aiokafka import ConsumerRecord

MOST = 2_000
_MOST_SHOWN = 20_000


class DeadLetters:
    """The newest dead letters, oldest first. Attributes: `received` counts all of them."""

    def __init__(self) -> None:
        self.received = 0
        self._letters: deque[dict[str, Any]] = deque(maxlen=MOST)

    def receive(self, record: ConsumerRecord) -> None:
        """Add one record of the topic."""
        self.received += 1
        headers = {name: (value or b"").decode(errors="replace") for name, value in record.headers}
        self._letters.append(
            {
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
        )

    def newest(self, limit: int) -> list[dict[str, Any]]:
        """Return the newest, newest last."""
        return list(self._letters)[-limit:]


def _is_own_header(name: str) -> bool:
    return name.startswith("origin-") and name not in {"origin-topic", "origin-partition", "origin-offset"}


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdigit() else None
