"""flagd sync streams read from raw sockets, a connection each: the measuring side must cost less than the server."""

import asyncio
import struct
import threading
import time
from collections.abc import Callable
from typing import cast

import uvloop

from services.flag_control.serving.flagd_sync import SERVICE

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GO_AWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_LARGEST_WINDOW = 2**31 - 1
_FIRST_WINDOW = 65_535
_HEADER_BYTES = 9
_PREFIX_BYTES = 5


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def _text(text: bytes) -> bytes:
    return bytes((len(text),)) + text


def _opening() -> bytes:
    """Return a whole request for every flag, with windows so large that no message ever waits for one."""
    headers = (
        b"\x83\x86"  # :method POST, :scheme http, from the static table
        + b"\x04" + _text(f"/{SERVICE}/SyncFlags".encode())
        + b"\x01" + _text(b"localhost")
        + b"\x0f\x10" + _text(b"application/grpc")
        + b"\x00" + _text(b"te") + _text(b"trailers")
    )  # fmt: skip
    return (
        _PREFACE
        + _frame(_SETTINGS, 0, 0, struct.pack(">HI", 4, _LARGEST_WINDOW))
        + _frame(_WINDOW, 0, 0, struct.pack(">I", _LARGEST_WINDOW - _FIRST_WINDOW))
        + _frame(_HEADERS, _END_HEADERS, 1, headers)
        + _frame(_DATA, _END_STREAM, 1, bytes(_PREFIX_BYTES))
    )


class _Stream(asyncio.Protocol):
    """One client: it notes when a message is whole, and reads nothing out of it."""

    def __init__(self, seen: Callable[[float], None]) -> None:
        self._seen = seen
        self._buffer = bytearray()
        self._message = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(_opening())

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        self._buffer += data
        while len(self._buffer) >= _HEADER_BYTES:
            length = int.from_bytes(self._buffer[:3])
            if len(self._buffer) < _HEADER_BYTES + length:
                return
            kind, flags = self._buffer[3], self._buffer[4]
            payload = bytes(self._buffer[_HEADER_BYTES : _HEADER_BYTES + length])
            del self._buffer[: _HEADER_BYTES + length]
            self._take(kind, flags, payload, now)

    def _take(self, kind: int, flags: int, payload: bytes, now: float) -> None:
        if kind == _DATA:
            self._message += payload
            while len(self._message) >= _PREFIX_BYTES:
                whole = _PREFIX_BYTES + int.from_bytes(self._message[1:_PREFIX_BYTES])
                if len(self._message) < whole:
                    return
                del self._message[:whole]
                self._seen(now)
        elif kind in (_SETTINGS, _PING) and not flags & _ACK:
            self._transport.write(_frame(kind, _ACK, 0, payload if kind == _PING else b""))
        elif kind in (_RESET, _GO_AWAY):
            self._transport.close()


class RawStreams:
    """That many streams, read by one thread; `seen` is called in it with the moment at which a message was whole."""

    def __init__(self, port: int, count: int, seen: Callable[[float], None]) -> None:
        self._port = port
        self._count = count
        self._seen = seen
        self._loop = uvloop.new_event_loop()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Disconnect all."""
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._follow())

    async def _follow(self) -> None:
        made = [
            await self._loop.create_connection(lambda: _Stream(self._seen), "127.0.0.1", self._port)
            for _ in range(self._count)
        ]
        await self._ended.wait()
        for transport, _ in made:
            cast(asyncio.Transport, transport).abort()
        await asyncio.sleep(0)
