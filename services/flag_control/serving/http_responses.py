"""How the OFREP server writes HTTP: complete answers in two ASGI messages."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from services.flag_control.evaluation.evaluator import Outcome

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]

JSON: Header = (b"content-type", b"application/json")


async def respond(send: Send, outcome: Outcome, *headers: Header) -> None:
    """Send a whole JSON answer."""
    status, body = outcome
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [JSON, length, *headers]})
    await send({"type": "http.response.body", "body": body})


async def respond_empty(send: Send, status: int, *headers: Header) -> None:
    """Send an answer without a body."""
    length = [] if status in {204, 304} else [(b"content-length", b"0")]
    await send({"type": "http.response.start", "status": status, "headers": [*length, *headers]})
    await send({"type": "http.response.body", "body": b""})


def with_headers(send: Send, headers: tuple[Header, ...]) -> Send:
    """Return a `send` that adds headers to the start of the answer."""

    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *headers]
        await send(message)

    return sending
