"""Server-sent events of the console: `id:` is the position to resume after, `data:` one event and where it stands."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec


@dataclass(frozen=True)
class Message:
    """One message of the stream: its position in it, where the event stands in Kafka, and the event."""

    seq: str
    topic: str
    partition: int
    offset: int
    event: dict[str, Any]


def messages(chunks: Iterable[str]) -> Iterator[Message]:
    """Yield the messages of a stream of text, however it is cut; comments (heartbeats) are passed over."""
    # Only \n ends a line here: str.splitlines would also cut at U+2028 inside a JSON string.
    rest, seq, data = "", "", ""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split("\n")
        for line in (line.removesuffix("\r") for line in lines):
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if field == "id":
                seq = value
            elif field == "data":
                data = f"{data}\n{value}" if data else value
            elif not line and data:
                yield _message(seq, data)
                data = ""


def _message(seq: str, data: str) -> Message:
    body = msgspec.json.decode(data)
    return Message(
        seq or str(body.get("seq", "")), body["topic"], int(body["partition"]), int(body["offset"]), body["event"]
    )
