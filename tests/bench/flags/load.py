"""HTTP load from raw sockets: the measuring side must cost less than the server that it measures."""

import asyncio
import json
from functools import partial
from itertools import count
from typing import cast

import uvloop

from tests.bench.flags.child import Server
from tests.bench.flags.sample import TOKEN

CONNECTIONS = 16
_PATIENCE_SECONDS = 10.0


class _Client(asyncio.Protocol):
    """One connection: the next request goes out when the answer is in."""

    def __init__(self, requests: list[bytes], until: float, done: "asyncio.Future[None]") -> None:
        self.answers = 0
        self._requests = requests
        self._until = until
        self.done = done
        self._next = count()
        self._buffer = b""
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        if not head.startswith(b"HTTP/1.1 200"):
            self._finish(RuntimeError(f"the server answered {head[:60]!r}"))
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(rest) < length:
            return
        self._buffer = b""
        self.answers += 1
        if self._loop.time() < self._until:
            self._send()
        else:
            self._finish(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._finish(exc or (None if self.done.done() else RuntimeError("the server hung up")))

    def _send(self) -> None:
        self._transport.write(self._requests[next(self._next) % len(self._requests)])

    def _finish(self, error: Exception | None) -> None:
        self._transport.close()
        if not self.done.done():
            if error is None:
                self.done.set_result(None)
            else:
                self.done.set_exception(error)


def requests(path: str, users: int = 512) -> list[bytes]:
    """Return whole requests for that many users."""
    made = []
    for number in range(users):
        context = {"targetingKey": f"user-{number}", "email": f"user-{number}@example.org", "plan": "free"}
        body = json.dumps({"context": context}).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {TOKEN}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        made.append(head.encode() + body)
    return made


async def _load(port: int, made: list[bytes], seconds: float) -> int:
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    clients = [_Client(made[number::CONNECTIONS], until, loop.create_future()) for number in range(CONNECTIONS)]
    for client in clients:
        await loop.create_connection(partial(_itself, client), "127.0.0.1", port)
    async with asyncio.timeout(seconds + _PATIENCE_SECONDS):
        await asyncio.gather(*(client.done for client in clients))
    return sum(client.answers for client in clients)


def _itself(client: _Client) -> _Client:
    return client


def rate(server: Server, path: str, seconds: float) -> float:
    """Return whole answers per second of one core: by the processor time that the server used.

    Where nothing else runs, the server keeps its core busy and this is the rate by the clock; where something does,
    the rate by the clock would be a figure of that.
    """
    before = server.cpu()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        answers = runner.run(_load(server.http, requests(path), seconds))
    return answers / (server.cpu() - before)
