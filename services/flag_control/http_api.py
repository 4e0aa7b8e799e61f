"""The write endpoint: kill first, everything else with it; and what people want to see of a flag."""

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from penstock.depth import JsonObject
from penstock.errors import (
    InvalidError,
    NotFoundError,
    PenstockError,
    UnauthorizedError,
)
from penstock.events import FlagRequest, KillRequested, from_json
from penstock.targets import parse_target
from penstock.tokens import Identity, Role, Tokens
from penstock.wording.problems import problems_of
from services.flag_control.fallback.peers import FLAGS_PATH, PEER_PATH, peer_key
from services.runtime.http.bodies import GoneError, parse_json, read_body
from services.runtime.http.errors import retry_headers, status_of
from services.runtime.http.worker import Worker

_MAX_BODY = 256 * 1024
_LARGE = 16 * 1024
_WORKER = Worker("parse")
_ROLES = (Role.OPERATOR, Role.RELEASE_MANAGER)

View = dict[str, Any]


class Controls(Protocol):
    """What the endpoint asks of the service."""

    def flags(self) -> list[View]:
        """Return every flag, briefly."""
        ...

    def staleness(self) -> View | None:
        """Return why what is served may be behind the log, None where it is not."""
        ...

    def export(self, name: str) -> View:
        """Return a set (all of them without a name) as flagd JSON; raises NotFoundError."""
        ...

    def flag(self, target: str) -> View:
        """Return one flag with its history; raises NotFoundError."""
        ...

    def request(self, kind: str, target: str, actor: Identity, key: str | None, fields: View) -> FlagRequest:
        """Return the request as an event; raises InvalidError."""
        ...

    def shared(self) -> bytes:
        """Return what peers are told of the flags, as JSON."""
        ...

    async def kill(self, kill: KillRequested, authorization: str, peer: bool) -> View:
        """Put a kill in force and return where it is."""
        ...

    async def ask(self, request: FlagRequest) -> tuple[int, View]:
        """Hand a request to the decider and return the status and what came of it."""
        ...


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: str = Field(min_length=1, max_length=2000)


class _Undo(_Body):
    kill: str | None = None
    version: int | None = Field(default=None, ge=1)


class _OptOut(_Body):
    attribute: str = Field(default="targetingKey", min_length=1, max_length=200)
    values: tuple[str, ...] = Field(min_length=1, max_length=1000)
    remove: bool = False


class _Archive(_Body):
    variant: str


class _Definition(_Body):
    definition: JsonObject


VERBS: dict[str, tuple[str, type[_Body]]] = {
    "kill": ("kill.requested", _Body),
    "undo": ("undo.requested", _Undo),
    "opt-out": ("opt_out.requested", _OptOut),
    "archive": ("archive.requested", _Archive),
    "definition": ("flag.submitted", _Definition),
}


def control_app(controls: Controls, tokens: Tokens, more: list[Route]) -> Starlette:
    """Return the application: `GET /flags`, `GET|POST /flags/{environment}/{service}/{flag}[/{verb}]`."""

    async def list_(request: Request) -> JSONResponse:
        _may_read(tokens, request)
        stale = controls.staleness()
        return JSONResponse({"flags": controls.flags(), **({"stale": stale} if stale else {})})

    async def export(request: Request) -> JSONResponse:
        _may_read(tokens, request)
        return JSONResponse(controls.export(request.query_params.get("set", "")))

    async def show(request: Request) -> JSONResponse:
        _may_read(tokens, request)
        return JSONResponse(controls.flag(_target(request)))

    async def act(request: Request) -> JSONResponse:
        identity = _may_write(tokens, request)
        verb = request.path_params["verb"]
        if verb not in VERBS:
            raise NotFoundError(f"no verb {verb!r}; there are: {', '.join(VERBS)}")
        kind, form = VERBS[verb]
        fields = await _fields(request, form)
        key = request.headers.get("idempotency-key")
        event = controls.request(kind, _target(request), identity, key, fields)
        if isinstance(event, KillRequested):
            return JSONResponse(await controls.kill(event, request.headers["authorization"], peer=False))
        status, answer = await controls.ask(event)
        return JSONResponse(answer, status)

    async def peer(request: Request) -> JSONResponse:
        identity = _may_write(tokens, request)
        event = from_json(await _json(request))
        if not isinstance(event, KillRequested) or event.actor != identity.identity:
            raise UnauthorizedError("a peer hands on kills of the token's own identity, nothing else")
        return JSONResponse(await controls.kill(event, "", peer=True))

    async def peers_flags(request: Request) -> Response:
        if not hmac.compare_digest(request.headers.get("authorization", "").encode(), known_peer):
            raise UnauthorizedError("this is for the other flag controls, which share this one's tokens file")
        body = controls.shared()
        etag = hashlib.sha256(body).hexdigest()
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304)
        return Response(body, media_type="application/json", headers={"etag": etag})

    known_peer = f"Peer {key}".encode() if (key := peer_key(tokens)) else b""
    place = "/flags/{environment}/{service}/{flag}"
    return Starlette(
        routes=[
            *more,
            Route(PEER_PATH, _answered(peer), methods=["POST"]),
            Route(FLAGS_PATH, _answered(peers_flags)),
            Route("/flags", _answered(list_)),
            Route("/flags/export", _answered(export)),
            Route(place, _answered(show)),
            Route(place + "/{verb}", _answered(act), methods=["POST"]),
        ]
    )


Handler = Callable[[Request], Awaitable[Response]]


def _answered(handler: Handler) -> Handler:
    """Turn our errors into answers; nothing else may reach a client."""

    async def answered(request: Request) -> Response:
        try:
            return await handler(request)
        except InvalidError as error:
            problems = [{"where": problem.where, "what": problem.what} for problem in error.problems]
            return JSONResponse({"error": str(error), "problems": problems}, 422)
        except PenstockError as error:
            status = status_of(error)
            return JSONResponse({"error": str(error)}, status, retry_headers(status))
        except GoneError:
            return Response(status_code=400)

    return answered


def _may_read(tokens: Tokens, request: Request) -> None:
    # Names and reasons are nobody's business who cannot show a token; where there are no tokens, it is a laptop.
    if tokens.tokens:
        tokens.identify(request.headers.get("authorization"))


def _may_write(tokens: Tokens, request: Request) -> Identity:
    identity = tokens.identify(request.headers.get("authorization"))
    if not identity.has(*_ROLES):
        raise UnauthorizedError(f"{identity.identity} has none of the roles {', '.join(_ROLES)}")
    return identity


def _target(request: Request) -> str:
    text = "/".join(request.path_params[part] for part in ("environment", "service", "flag"))
    try:
        return str(parse_target(text))
    except ValueError as error:
        raise NotFoundError(str(error)) from None


async def _json(request: Request) -> Any:
    raw = await read_body(request.receive, _MAX_BODY)
    return await _WORKER.run(parse_json, raw, "request") if len(raw) > _LARGE else parse_json(raw, "request")


async def _fields(request: Request, form: type[_Body]) -> View:
    try:
        return form.model_validate(await _json(request)).model_dump(mode="json", exclude_none=True)
    except ValidationError as error:
        raise InvalidError("request", problems_of(error)) from None
