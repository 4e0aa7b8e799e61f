"""HTTP connections that cannot hold the server: a request must arrive, and its answer be read, within a time."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

REQUEST_SECONDS = 10.0
"""Time for a whole request to arrive, from its first byte (or from the connection), and for unread answers."""

MAX_HEADER_BYTES = 32 * 1024


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with the three limits that it lacks: slow requests, endless headers, unread answers.

    And it answers a client that closes its half of the connection once it has asked, as scripts do.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._waiting_since: float | None = None
        self._unread_since: float | None = None
        self._header_bytes = 0
        self._in_headers = True
        self._asked_all = False
        self._guard: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._waiting_since = self.loop.time()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._guard is not None:
            self._guard.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_headers:
            self._header_bytes += len(data)
            # Headers that come whole in one piece are measured before they are read, all others as they come.
            if len(data) > MAX_HEADER_BYTES and data.find(b"\r\n\r\n") > MAX_HEADER_BYTES:
                self._refuse_headers()
                return
        super().data_received(data)
        if self._in_headers and self._header_bytes > MAX_HEADER_BYTES and not self.transport.is_closing():
            self._refuse_headers()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_headers = True
        if self._waiting_since is None:
            self._waiting_since = self.loop.time()

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._in_headers = False
        self._header_bytes = 0

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._waiting_since = None
        self._in_headers = True

    def eof_received(self) -> bool:  # type: ignore[override]
        # A stream has begun to answer: there, whoever closes has left. Over TLS there is no half to keep open.
        asking = self.cycle is not None and not self.cycle.response_started
        self._asked_all = self.scheme == "http" and (asking or bool(self.pipeline))
        return self._asked_all

    def on_response_complete(self) -> None:
        super().on_response_complete()
        # The next of its requests, if there is one, is under way by now.
        if self._asked_all and self.cycle.response_complete and not self.pipeline:
            self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread_since = self.loop.time()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._unread_since = None

    def _refuse_headers(self) -> None:
        self.transport.write(b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n\r\n")
        self.transport.close()

    def _watch(self) -> None:
        oldest = self.loop.time() - REQUEST_SECONDS
        if any(since is not None and since < oldest for since in (self._waiting_since, self._unread_since)):
            self.transport.abort()
            return
        self._guard = self.loop.call_later(REQUEST_SECONDS / 4, self._watch)
