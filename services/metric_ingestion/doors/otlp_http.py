"""OTLP over HTTP: answers 200 only once Kafka has every frame; bad input is refused with its reason."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence

from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from starlette.types import ASGIApp, Receive, Scope, Send

from penstock.access.denials import Authenticator, Denials, Report, to_log
from penstock.errors import InvalidError, OversizeError, TooManyAttemptsError, UnauthorizedError, UnavailableError
from penstock.tokens import KnownTokens, Role
from services.metric_ingestion.doors.otlp_messages import answer, parse_partly
from services.metric_ingestion.selection.select import Selection, Selector
from services.metric_ingestion.windows.frames import Frame
from services.runtime.http.bodies import Budget, GoneError, TooLargeError, inflate, read_body
from services.runtime.http.limits import Limits
from services.runtime.http.worker import Worker

LARGEST_BODY = 16 * 1024 * 1024
"""Bytes, as sent and after inflation."""

LARGEST_JSON = 4 * 1024 * 1024
LIMITS = Limits(body_bytes=LARGEST_BODY, request_seconds=20.0)
_BUFFERED = 128 * 1024 * 1024
"""Bytes of all bodies that are under way or being read."""

PATH = "/v1/metrics"
RETRY_AFTER_S = 2
_LARGE = 32 * 1024
_PROTOBUF, _JSON = "application/x-protobuf", "application/json"
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
# Codes of google.rpc.Code.
_INVALID, _UNAVAILABLE, _UNAUTHENTICATED, _DENIED, _EXHAUSTED = 3, 14, 16, 7, 8

Frames = Sequence[tuple[str, Frame]]
Publish = Callable[[Frames], Awaitable[None]]
"""Publishes frames; returns once all are acknowledged. Raises TransientError where that is not possible now."""


class _Refusal(Exception):
    """An answer that is not 200: HTTP status, google.rpc code, the sentence, seconds until another try may help."""

    def __init__(self, status: int, code: int, text: str, retry_after: int | None = None) -> None:
        super().__init__(text)
        self.status, self.code, self.text, self.retry_after = status, code, text, retry_after


class OtlpEndpoint:
    """An ASGI application that answers `POST /v1/metrics`; `fallback` answers everything else.

    Args:
        selector: the present one, None while the plans are not read yet.
        now: Unix nanoseconds.
    """

    def __init__(
        self,
        tokens: KnownTokens,
        selector: Callable[[], Selector | None],
        publish: Publish,
        now: Callable[[], int],
        fallback: ASGIApp,
        report: Report = to_log,
    ) -> None:
        self._authenticator = Authenticator(tokens, Denials("metric_ingestion", report))
        self._selector = selector
        self._publish = publish
        self._now = now
        self._fallback = fallback
        self._budget = Budget(_BUFFERED)
        self._worker = Worker("otlp", waiting=64)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["path"] != PATH or scope["method"] != "POST":
            await self._fallback(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        json = headers.get("content-type", "").partition(";")[0].strip() == _JSON
        try:
            selection = await self._select_body(headers, json, receive, (scope.get("client") or ("",))[0])
            await self._publish(selection.frames)
        except _Refusal as refusal:
            status = Status(code=refusal.code, message=refusal.text)
            await _respond(send, refusal.status, status, json, refusal.retry_after)
        except GoneError:
            return
        except OversizeError as error:
            await _respond(send, 413, Status(code=_INVALID, message=str(error)), json)
        except UnavailableError as error:
            await _respond(send, 503, Status(code=_UNAVAILABLE, message=str(error)), json)
        else:
            await _respond(send, 200, answer(selection.rejected, "; ".join(selection.problems)), json)

    async def _select_body(self, headers: Mapping[str, str], json: bool, receive: Receive, address: str) -> Selection:
        self._authorize(headers, address)
        if not json and headers.get("content-type", "").partition(";")[0].strip() != _PROTOBUF:
            raise _Refusal(415, _INVALID, f"send {_PROTOBUF} or {_JSON}")
        selector = self._selector()
        if selector is None:
            raise _Refusal(503, _UNAVAILABLE, "the plans are still being read; try again")
        trace = headers.get("traceparent", "")
        trace = trace if _TRACEPARENT.fullmatch(trace) else ""
        encoding = headers.get("content-encoding", "identity")
        if encoding not in {"identity", "gzip"}:
            raise _Refusal(415, _INVALID, f"content-encoding {encoding[:50]!r} is not offered; send gzip or none")
        most = LARGEST_JSON if json else LARGEST_BODY
        try:
            with self._budget.lease() as lease:
                raw = await read_body(receive, most, lease)
                zipped = encoding == "gzip"
                arguments = (selector, raw, zipped, json, self._now(), trace)
                if not zipped and len(raw) <= _LARGE:
                    return _select(*arguments)
                # A large request would block every other one of this event loop.
                return await self._worker.run(_select, *arguments)
        except TooLargeError as error:
            raise _Refusal(413, _INVALID, str(error)) from None
        except InvalidError as error:
            raise _Refusal(400, _INVALID, str(error)) from None

    def _authorize(self, headers: Mapping[str, str], address: str) -> None:
        try:
            identity = self._authenticator.identify(headers.get("authorization"), address)
        except UnauthorizedError as error:
            raise _Refusal(401, _UNAUTHENTICATED, str(error)) from None
        except TooManyAttemptsError as error:
            raise _Refusal(429, _EXHAUSTED, str(error), error.retry_after) from None
        if not identity.has(Role.METRICS):
            self._authenticator.forbidden(identity, address)
            raise _Refusal(403, _DENIED, f"{identity.identity} may not publish metrics: it takes the role metrics")


def _select(selector: Selector, raw: bytes, zipped: bool, json: bool, received: int, trace: str) -> Selection:
    body = inflate(raw, LARGEST_JSON if json else LARGEST_BODY) if zipped else raw
    request, lost = parse_partly(body, json)
    return selector.select(request, received, trace, lost)


async def _respond(send: Send, status: int, message: Message, json: bool, retry_after: int | None = None) -> None:
    body = MessageToJson(message, indent=None).encode() if json else message.SerializeToString()
    headers = [(b"content-type", (_JSON if json else _PROTOBUF).encode())]
    if status == 503 or retry_after is not None:
        headers.append((b"retry-after", str(retry_after or RETRY_AFTER_S).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
