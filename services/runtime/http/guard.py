"""The one guard of every HTTP door: no client can hold the server, fill its memory, or learn nothing from a refusal."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.runtime.http import refusals
from services.runtime.http.admission import Admission
from services.runtime.http.refusals import Refusal

_HEALTH = b"/health/"
_RESERVE_SECONDS = 2.0
_LINGER_SECONDS = 1.0
"""A refused client may still be sending; closed at once, TCP would reset the connection and lose the answer."""
_LINGER_BYTES = 16 * 1024 * 1024


class _RefusedError(Exception):
    """Ends the parsing of a request that is refused."""


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with the limits that it lacks.

    It also answers a client that closes its half of the connection once it has asked, as scripts do.
    """

    def __init__(self, *args: Any, admission: Admission, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._admission = admission
        self._limits = admission.limits
        self._only_health: Refusal | None = None
        self._waiting_since: float | None = None
        self._unread_since: float | None = None
        self._closing_since: float | None = None
        self._begun = self._began_now = False
        self._header_bytes = self._body_bytes = self._other_bytes = 0
        self._refusal: Refusal | None = None
        self._ignores_input = False
        self._ignored_bytes = 0
        self._asked_all = False
        self._running: Any = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._waiting_since = self.loop.time()
        self._only_health = self._admission.admit(self, self.client[0] if self.client else "")

    def connection_lost(self, exc: Exception | None) -> None:
        self._admission.release(self)
        # uvicorn tells only the newest request; the one that is being answered may be an earlier, endless one.
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._ignores_input:
            self._ignored_bytes += len(data)
            if self._ignored_bytes > _LINGER_BYTES:
                self.transport.abort()
            return
        self._began_now, body_before = False, self._body_bytes
        self._begun = True
        super().data_received(data)
        # What is neither body nor begun in this piece: headers, chunk sizes and extensions, trailers.
        if self._waiting_since is not None and not self._began_now and not self._ignores_input:
            self._other_bytes += len(data) - (self._body_bytes - body_before)
            if self._other_bytes > self._limits.header_bytes + 8 * self._body_bytes:
                self._refuse(self._large_headers())
        elif self._waiting_since is None and self.timeout_keep_alive_task is None and self._idle():
            # Empty lines between two requests: uvicorn's timer of idle connections has been stopped by them.
            self._waiting_since = self.loop.time()

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= self._limits.pipelined:
            self._stop(refusals.PIPELINED)
        super().on_message_begin()
        self._began_now = True
        self._header_bytes = self._body_bytes = self._other_bytes = 0
        if self._waiting_since is None:
            self._waiting_since = self.loop.time()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > self._limits.line_bytes:
            self._stop(refusals.long_target(self._limits.line_bytes))

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > self._limits.header_bytes or len(self.headers) > self._limits.headers:
            self._stop(self._large_headers())

    def on_headers_complete(self) -> None:
        names = [name for name, _ in self.headers]
        version = self.parser.get_http_version() if self.parser is not None else ""
        if version == "1.1" and names.count(b"host") != 1:
            self._stop(refusals.NO_HOST)
        declared = next((value for name, value in self.headers if name == b"content-length"), b"0")
        if int(declared) > self._limits.body_bytes:
            self._stop(refusals.large_body(self._limits.body_bytes))
        if self._only_health is not None and not self.url.startswith(_HEALTH):
            self._stop(self._only_health)
        super().on_headers_complete()
        if self._only_health is not None:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes > self._limits.body_bytes:
            self._stop(refusals.large_body(self._limits.body_bytes))
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._waiting_since = None
        self._begun = False

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser refused: one of our limits, or no HTTP at all."""
        self._refuse(self._refusal or refusals.MALFORMED)

    def eof_received(self) -> bool:  # type: ignore[override]
        # A stream has begun to answer: there, a client that closes has left. Over TLS there is no half to keep open.
        asking = self._running is not None and not self._running.response_started
        self._asked_all = self.scheme == "http" and (asking or bool(self.pipeline))
        if self.scheme == "http" and self._begun and self._waiting_since is not None and not self._ignores_input:
            self._refuse(refusals.CUT_SHORT)
            return True
        return self._asked_all

    def on_response_complete(self) -> None:
        super().on_response_complete()
        # The next of its requests, if there is one, is under way by now.
        if not self._idle() or self.transport.is_closing():
            return
        if self._refusal is not None:
            self._answer(self._refusal)
        elif self._asked_all:
            self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread_since = self.loop.time()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._unread_since = None

    def check(self, now: float) -> None:
        """Let go of a client that neither asks nor reads in time."""
        seconds = _RESERVE_SECONDS if self._only_health is not None else self._limits.request_seconds
        oldest = now - min(seconds, self._limits.request_seconds)
        if self.transport.is_closing():
            self._closing_since = self._closing_since or now
        if any(since is not None and since < oldest for since in (self._unread_since, self._closing_since)):
            self.transport.abort()
        elif self._waiting_since is not None and self._waiting_since < oldest and not self._ignores_input:
            self._refuse(refusals.late(seconds)) if self._begun else self.transport.abort()

    def drop(self) -> None:
        """Disconnect at once."""
        self.transport.abort()

    def _large_headers(self) -> Refusal:
        return refusals.large_headers(self._limits.header_bytes, self._limits.headers)

    def _stop(self, refusal: Refusal) -> None:
        self._refusal = refusal
        raise _RefusedError

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _idle(self) -> bool:
        """Whether every request that has come is answered."""
        return not self.pipeline and (self._running is None or self._running.response_complete)

    def _refuse(self, refusal: Refusal) -> None:
        """Answer once what was asked before is answered; the rest of the input is ignored."""
        self._ignores_input = True
        self._refusal = refusal
        cycle = self.cycle
        if cycle is not None and cycle.more_body and not cycle.response_complete:
            # It is this very request: its application must not answer, too.
            cycle.disconnected = True
            cycle.message_event.set()
            if self.pipeline and self.pipeline[0][0] is cycle:
                self.pipeline.popleft()
            elif cycle.response_started:
                self.transport.abort()
                return
            else:
                self._running = None
        if self._idle():
            self._answer(refusal)

    def _answer(self, refusal: Refusal) -> None:
        self._ignores_input = True
        self._closing_since = self.loop.time()
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        self.transport.write(refusal.encode())
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self.loop.call_later(_LINGER_SECONDS, self.transport.close)
        else:
            self.transport.close()
