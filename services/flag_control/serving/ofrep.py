"""OFREP as a bare ASGI application: one flag, all flags, and the stream that announces changes."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, quote

import msgspec

from penstock.chain.document import canonical
from services.flag_control.evaluation.evaluator import Outcome, context_of, failure, not_found
from services.flag_control.serving.access import Access
from services.flag_control.serving.change_stream import stream_changes
from services.flag_control.serving.cors import Origins
from services.flag_control.serving.http_responses import (
    Header,
    Receive,
    Scope,
    Send,
    respond,
    respond_empty,
    with_headers,
)
from services.flag_control.serving.store import EVERYTHING, FlagSet, FlagStore, normal
from services.flag_control.serving.usage import Usage
from services.runtime.http.bodies import GoneError, TooLargeError, read_body

BULK = "/ofrep/v1/evaluate/flags"
EVENTS = "/ofrep/v1/events"
_SINGLE = BULK + "/"
_PREFIX = len(_SINGLE)
MAX_BODY = 256 * 1024
_FLAGS_BETWEEN_BREATHS = 100
_MOST_PARAMETERS = 32

Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class _Body(msgspec.Struct):
    context: dict[str, Any] = {}


_decode = msgspec.json.Decoder(_Body).decode
_json = msgspec.json.decode
_NO_SET = Outcome(404, b'{"errorCode":"FLAG_NOT_FOUND","errorDetails":"no such flag set, or it has not loaded yet"}')
_UNAUTHORIZED = Outcome(
    401, b'{"errorCode":"GENERAL","errorDetails":"send `Authorization: Bearer ...` or `X-API-Key: ...`"}'
)
_TOO_LARGE = Outcome(
    413, b'{"errorCode":"INVALID_CONTEXT","errorDetails":"the request is larger than %d bytes"}' % MAX_BODY
)
_NOT_READY = Outcome(503, b'{"errorCode":"PROVIDER_NOT_READY","errorDetails":"the flags are being loaded"}')


class Ofrep:
    """The application.

    Every path but the three of OFREP goes to `beside` (health, the write endpoint).
    """

    def __init__(
        self,
        store: FlagStore,
        usage: Usage,
        beside: Application,
        *,
        access: Access | None = None,
        overlay: Mapping[str, Any] | None = None,
        origins: Origins | None = None,
        ready: Callable[[], bool] = lambda: True,
    ) -> None:
        """Serve `store`; `access` None admits everyone; `overlay` is merged into every context and wins.

        `origins` are those whose web pages may read answers; without them none may.
        """
        self._store = store
        self._usage = usage
        self._beside = beside
        self._access = access
        self._overlay = dict(overlay or {})
        self._origins = origins
        self._ready = ready

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._beside(scope, receive, send)
            return
        path: str = scope["path"]
        single = path.startswith(_SINGLE)
        if not single and path not in (BULK, EVENTS):
            await self._beside(scope, receive, send)
            return
        method = "GET" if path == EVENTS else "POST"
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if self._origins is not None and b"origin" in headers:
            origin = headers[b"origin"]
            if scope["method"] == "OPTIONS":
                await respond_empty(send, 204, *self._origins.preflight(origin))
                return
            send = with_headers(send, self._origins.headers(origin))
        if scope["method"] != method:
            await respond_empty(send, 405, (b"allow", method.encode()))
            return
        if path == EVENTS:
            await self._events(scope, headers, receive, send)
        elif self._access is not None and not self._access.admits(headers):
            await respond(send, _UNAUTHORIZED, (b"www-authenticate", b"Bearer"))
        elif not self._ready():
            await respond(send, _NOT_READY, (b"retry-after", b"1"))
        else:
            await self._evaluate(path[_PREFIX:] if single else None, headers, receive, send)

    async def _evaluate(self, key: str | None, headers: Mapping[bytes, bytes], receive: Receive, send: Send) -> None:
        try:
            body = await read_body(receive, MAX_BODY)
        except TooLargeError:
            await respond(send, _TOO_LARGE, (b"connection", b"close"))
            return
        except GoneError:
            return
        context = self._context(body, key)
        if isinstance(context, Outcome):
            await respond(send, context)
            return
        selector = headers.get(b"flagd-selector")
        flag_set = self._store.get(selector.decode("latin-1") if selector else EVERYTHING)
        if flag_set is None:
            await respond(send, _NO_SET if key is None else not_found(key))
        elif key is None:
            await self._bulk(flag_set, context, headers.get(b"if-none-match", b""), send)
        else:
            outcome = flag_set.evaluator.answer(key, context_of(context))
            if outcome.status != 404:
                self._usage.one(flag_set.names[key])
            await respond(send, outcome)

    def _context(self, body: bytes, key: str | None) -> dict[str, Any] | Outcome:
        try:
            context = _decode(body).context if body else {}
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return failure(_code_of(body), f"the request cannot be read: {error}", key)
        if self._overlay:
            context = {**context, **self._overlay}
        targeting_key = context.get("targetingKey")
        if isinstance(targeting_key, list | dict):
            return failure("INVALID_CONTEXT", "`targetingKey` must be a string", key)
        return context

    async def _bulk(self, flag_set: FlagSet, context: dict[str, Any], wanted: bytes, send: Send) -> None:
        # An answer that depends on the clock is named by its content; all others before they are evaluated.
        etag = b"" if flag_set.timed else _etag(flag_set.answers, canonical(context))
        if etag and _matches(wanted, etag):
            await respond_empty(send, 304, (b"etag", etag))
            return
        body = await self._bulk_body(flag_set, context)
        self._usage.many(flag_set.names.values())
        etag = etag or _etag(body)
        headers: tuple[Header, ...] = ((b"etag", etag), (b"cache-control", b"private, no-cache"))
        if _matches(wanted, etag):
            await respond_empty(send, 304, *headers)
        else:
            await respond(send, Outcome(200, body), *headers)

    async def _bulk_body(self, flag_set: FlagSet, context: dict[str, Any]) -> bytes:
        evaluator, evaluation_context = flag_set.evaluator, context_of(context)
        answers = []
        for index, key in enumerate(evaluator.keys, start=1):
            answers.append(evaluator.answer(key, evaluation_context).body)
            if index % _FLAGS_BETWEEN_BREATHS == 0:
                await asyncio.sleep(0)
        rest = {
            "metadata": {**flag_set.metadata, "revision": flag_set.revision},
            "eventStreams": [{"type": "sse", "endpoint": {"requestUri": self._stream_of(flag_set.selector)}}],
        }
        return b'{"flags":[' + b",".join(answers) + b"]," + msgspec.json.encode(rest)[1:]

    def _stream_of(self, selector: str) -> str:
        ticket = f"&ticket={self._access.ticket(selector)}" if self._access else ""
        return f"{EVENTS}?selector={quote(selector, safe='')}{ticket}"

    async def _events(self, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive, send: Send) -> None:
        try:
            query = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=_MOST_PARAMETERS)
        except ValueError:
            await respond(send, failure("PARSE_ERROR", f"more than {_MOST_PARAMETERS} parameters"))
            return
        selector = normal(query.get("selector", [""])[0])
        ticket = query.get("ticket", [""])[0]
        access = self._access
        if access is not None and not (access.admits(headers) or access.admits_ticket(selector, ticket)):
            await respond(send, _UNAUTHORIZED, (b"www-authenticate", b"Bearer"))
            return
        with self._store.subscribed(selector) as mailbox:
            await stream_changes(mailbox, headers.get(b"last-event-id", b"").decode("latin-1"), receive, send)


def _code_of(body: bytes) -> str:
    """Return PARSE_ERROR where the body is no JSON, INVALID_CONTEXT where it is JSON of another shape."""
    try:
        _json(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "PARSE_ERROR"
    except RecursionError:
        return "INVALID_CONTEXT"
    return "INVALID_CONTEXT"


def _etag(*parts: bytes) -> bytes:
    return b'"' + hashlib.sha256(b"\x1f".join(parts)).hexdigest()[:32].encode() + b'"'


def _matches(wanted: bytes, etag: bytes) -> bool:
    if not wanted:
        return False
    return any(tag.strip().removeprefix(b"W/") in (etag, b"*") for tag in wanted.split(b","))
