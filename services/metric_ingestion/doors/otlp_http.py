"""The HTTP door: OTLP in, 200 only once Kafka has every frame; bad input is refused with its reason."""

import asyncio
import re
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence

from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from starlette.types import ASGIApp, Receive, Scope, Send

from penstock.errors import InvalidError, OversizeError, PenstockError, Problem, UnauthorizedError, UnavailableError
from penstock.tokens import Role, Tokens
from services.metric_ingestion.doors.otlp_messages import answer, parse
from services.metric_ingestion.selection.select import Selection, Selector
from services.metric_ingestion.windows.frames import Frame

LARGEST_BODY = 64 * 1024 * 1024
"""Bytes after inflation."""

PATH = "/v1/metrics"
RETRY_AFTER_S = 2
_LARGE = 256 * 1024
_MOST_AT_ONCE = 8
_BODY_S = 20
_PROTOBUF, _JSON = "application/x-protobuf", "application/json"
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
# Codes of google.rpc.Code.
_INVALID, _UNAVAILABLE, _UNAUTHENTICATED, _DENIED = 3, 14, 16, 7

Frames = Sequence[tuple[str, Frame]]
Publish = Callable[[Frames], Awaitable[None]]
"""Publishes frames; returns once all are acknowledged. Raises TransientError when that cannot be had now."""


class _TooLargeError(PenstockError):
    """A body beyond the limit."""


class _Refusal(Exception):
    """An answer that is not 200: HTTP status, google.rpc code, the sentence."""

    def __init__(self, status: int, code: int, text: str) -> None:
        super().__init__(text)
        self.status, self.code, self.text = status, code, text


class Door:
    """An ASGI application that answers `POST /v1/metrics`; `fallback` answers everything else.

    Args:
        selector: the present one, None while the plans are not read yet.
        now: Unix nanoseconds.
    """

    def __init__(
        self,
        tokens: Tokens,
        selector: Callable[[], Selector | None],
        publish: Publish,
        now: Callable[[], int],
        fallback: ASGIApp,
    ) -> None:
        self._tokens = tokens
        self._selector = selector
        self._publish = publish
        self._now = now
        self._fallback = fallback
        self._places = asyncio.Semaphore(_MOST_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["path"] != PATH or scope["method"] != "POST":
            await self._fallback(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        json = headers.get("content-type", "").partition(";")[0].strip() == _JSON
        try:
            selection = await self._take(headers, json, receive)
            await self._publish(selection.frames)
        except _Refusal as refusal:
            status = Status(code=refusal.code, message=refusal.text)
            await _respond(send, refusal.status, status, json)
        except OversizeError as error:
            await _respond(send, 413, Status(code=_INVALID, message=str(error)), json)
        except UnavailableError as error:
            await _respond(send, 503, Status(code=_UNAVAILABLE, message=str(error)), json)
        else:
            await _respond(send, 200, answer(selection.rejected, "; ".join(selection.problems)), json)

    async def _take(self, headers: Mapping[str, str], json: bool, receive: Receive) -> Selection:
        self._authorize(headers)
        if not json and headers.get("content-type", "").partition(";")[0].strip() != _PROTOBUF:
            raise _Refusal(415, _INVALID, f"send {_PROTOBUF} or {_JSON}")
        selector = self._selector()
        if selector is None:
            raise _Refusal(503, _UNAVAILABLE, "the plans are still being read; try again")
        trace = headers.get("traceparent", "")
        trace = trace if _TRACEPARENT.fullmatch(trace) else ""
        try:
            async with self._places:
                # A client that sends its body byte by byte must not hold a place for ever.
                async with asyncio.timeout(_BODY_S):
                    body = await _body(receive, headers.get("content-encoding", "identity"))
                arguments = (selector, body, json, self._now(), trace)
                # A large request would hold up every other one of this loop.
                return await asyncio.to_thread(_select, *arguments) if len(body) > _LARGE else _select(*arguments)
        except _TooLargeError as error:
            raise _Refusal(413, _INVALID, str(error)) from None
        except InvalidError as error:
            raise _Refusal(400, _INVALID, str(error)) from None
        except TimeoutError:
            raise _Refusal(408, _INVALID, f"the body did not arrive within {_BODY_S} seconds") from None

    def _authorize(self, headers: Mapping[str, str]) -> None:
        try:
            identity = self._tokens.identify(headers.get("authorization"))
        except UnauthorizedError as error:
            raise _Refusal(401, _UNAUTHENTICATED, str(error)) from None
        if not identity.has(Role.METRICS):
            raise _Refusal(403, _DENIED, f"{identity.identity} may not publish metrics: it takes the role metrics")


def _select(selector: Selector, body: bytes, json: bool, received: int, trace: str) -> Selection:
    return selector.select(parse(body, json), received, trace)


async def _body(receive: Receive, encoding: str) -> bytes:
    if encoding not in {"identity", "gzip"}:
        raise _Refusal(415, _INVALID, f"content-encoding {encoding!r} is not offered; send gzip or none")
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidError("metrics request", [Problem("", "the client went away")])
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > LARGEST_BODY:
            raise _TooLargeError(f"the body is larger than {LARGEST_BODY} bytes; send smaller batches")
        chunks.append(chunk)
        if not message.get("more_body"):
            body = b"".join(chunks)
            return body if encoding == "identity" else inflate(body)


def inflate(body: bytes) -> bytes:
    """Return what a gzip body holds: all of its members, one after another (RFC 1952, section 2.2).

    Raises:
        InvalidError: it is no gzip, or is cut short.
    """
    whole = b""
    while True:
        inflater = zlib.decompressobj(wbits=31)
        try:
            whole += inflater.decompress(body, LARGEST_BODY + 1 - len(whole))
        except zlib.error as error:
            raise InvalidError("metrics request", [Problem("", f"is not gzip: {error}")]) from None
        if len(whole) > LARGEST_BODY:
            raise _TooLargeError(f"the body is larger than {LARGEST_BODY} bytes after inflation; send smaller batches")
        if not inflater.eof:
            raise InvalidError("metrics request", [Problem("", "the gzip body is cut short")])
        body = inflater.unused_data
        if not body:
            return whole


async def _respond(send: Send, status: int, message: Message, json: bool) -> None:
    body = MessageToJson(message, indent=None).encode() if json else message.SerializeToString()
    headers = [(b"content-type", (_JSON if json else _PROTOBUF).encode())]
    if status == 503:
        headers.append((b"retry-after", str(RETRY_AFTER_S).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
