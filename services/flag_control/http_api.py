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

from penstock.access.denials import Authenticator, Denials, Report, to_log
from penstock.errors import (
    InvalidError,
    NotFoundError,
    PenstockError,
    UnauthorizedError,
)
from penstock.events import FlagRequest, KillRequested, from_json
from penstock.targets import parse_target
from penstock.tokens import Identity, KnownTokens, Role
from penstock.wire.depth import JsonObject
from penstock.wording.problems import problems_of
from services.flag_control.fallback.peers import FLAGS_PATH, PEER_PATH, peer_key
from services.runtime.http.bodies import GoneError, parse_json, read_body
from services.runtime.http.errors import HTTP_ERRORS, retry_headers, status_of
from services.runtime.http.worker import Worker

_MAX_BODY = 256 * 1024
_LARGE = 4 * 1024
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
        """Return the flags and kills for peers, as JSON."""
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


def control_app(
    controls: Controls, tokens: KnownTokens, more: list[Route], report: Report = to_log, peers_key: str | None = None
) -> Starlette:
    """Return the application: `GET /flags`, `GET|POST /flags/{environment}/{service}/{flag}[/{verb}]`."""

    authenticator = Authenticator(tokens, Denials("flag_control", report))

    async def list_(request: Request) -> JSONResponse:
        _may_read(authenticator, request)
        stale = controls.staleness()
        return JSONResponse({"flags": controls.flags(), **({"stale": stale} if stale else {})})

    async def export(request: Request) -> JSONResponse:
        _may_read(authenticator, request)
        return JSONResponse(controls.export(request.query_params.get("set", "")))

    async def show(request: Request) -> JSONResponse:
        _may_read(authenticator, request)
        return JSONResponse(controls.flag(_target(request)))

    async def act(request: Request) -> JSONResponse:
        identity = _may_write(authenticator, request, _target(request))
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
        identity = _may_write(authenticator, request)
        event = from_json(await _parsed(request, parse_json))
        if isinstance(event, KillRequested):
            identity = _may_write(authenticator, request, event.target)
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

    key = peers_key if peers_key is not None else peer_key(tokens)
    known_peer = f"Peer {key}".encode() if key else b""
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
        ],
        exception_handlers=HTTP_ERRORS,
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
            return JSONResponse({"error": str(error)}, status, retry_headers(status, error))
        except GoneError:
            return Response(status_code=400)

    return answered


def _may_read(authenticator: Authenticator, request: Request) -> None:
    # Names and reasons need a token; without a tokens file this runs on a laptop.
    if authenticator.known.tokens:
        authenticator.identify(request.headers.get("authorization"), _address(request))


def _may_write(authenticator: Authenticator, request: Request, target: str | None = None) -> Identity:
    identity = authenticator.identify(request.headers.get("authorization"), _address(request))
    here = identity.on(target) if target is not None else identity
    if not here.has(*_ROLES):
        authenticator.forbidden(identity, _address(request))
        raise UnauthorizedError(f"{identity.identity} has none of the roles {', '.join(_ROLES)} here")
    return here


def _address(request: Request) -> str:
    return request.client.host if request.client is not None else ""


def _target(request: Request) -> str:
    text = "/".join(request.path_params[part] for part in ("environment", "service", "flag"))
    try:
        return str(parse_target(text))
    except ValueError as error:
        raise NotFoundError(str(error)) from None


async def _fields(request: Request, form: type[_Body]) -> View:
    return await _parsed(request, _checked, form)


async def _parsed(request: Request, parse: Callable[..., View], *more: Any) -> View:
    """Return what `parse(raw, *more)` returns of the body; what is large is parsed beside the loop."""
    raw = await read_body(request.receive, _MAX_BODY)
    return await _WORKER.run(parse, raw, *more) if len(raw) > _LARGE else parse(raw, *more)


def _checked(raw: bytes, form: type[_Body]) -> View:
    try:
        return form.model_validate(parse_json(raw, "request")).model_dump(mode="json", exclude_none=True)
    except ValidationError as error:
        raise InvalidError("request", problems_of(error)) from None
