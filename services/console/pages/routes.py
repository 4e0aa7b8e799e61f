"""The routes of the dashboard: pages, their live streams, sign-in, and the forms of actions."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from penstock.errors import InvalidError, NotFoundError, PenstockError, TooManyAttemptsError, UnauthorizedError
from penstock.events import CommandRefused
from services.console.commands import VERBS, Commands, Expected, VerbBody
from services.console.flag_control_client import FlagControl
from services.console.http_api.event_stream import Hub
from services.console.http_api.reads import wanted_of
from services.console.http_api.security import COOKIE, SESSION_S, Door, address_of
from services.console.pages import content, flags
from services.console.pages.forms import form_of
from services.console.pages.kill_switch import KillSwitch, target_of
from services.console.pages.live import Live
from services.console.pages.site import Page, Site
from services.console.read_models.dead_letters import DeadLetters
from services.console.read_models.projection import Projection
from services.runtime.http.errors import on_http_error, retry_headers, status_of
from services.runtime.process.service import Clock

_PATIENCE_S = 3.0
"""A form is answered well before its page gives up after five seconds."""
_NOISE = ("window.closed", "stage.judged", "flag.served")

Make = Callable[[Request], Page]


class Pages:
    """The dashboard."""

    def __init__(
        self,
        projection: Projection,
        letters: DeadLetters,
        hub: Hub,
        commands: Commands,
        door: Door,
        clock: Clock,
        flag_control: FlagControl,
    ) -> None:
        self._projection = projection
        self._letters = letters
        self._hub = hub
        self._commands = commands
        self._door = door
        self._clock = clock
        self._site = Site()
        self._live = Live(self._site, projection, hub, clock, self._common)
        self._kill_switch = KillSwitch(self._site, door, clock, flag_control, self._common)

    def routes(self) -> list[Route]:
        """Return them."""
        makers: dict[str, Make] = {
            "/": self._overview,
            "/rollouts/{rollout}": self._rollout,
            "/events": self._events,
            "/flags": lambda _: flags.flags(self._projection),
            "/flags/{environment}/{service}/{flag}": self._flag,
            "/plans": lambda _: content.plans(self._projection),
            "/dead-letters": lambda _: content.dead_letters(self._letters),
        }
        routes = [Route(path, self._shown(make), methods=["GET"]) for path, make in makers.items()]
        places = {"/overview" if path == "/" else path: make for path, make in makers.items()}
        routes += [Route(f"/pages{path}/parts", self._live.parts(make)) for path, make in places.items()]
        return [
            *routes,
            Route("/pages/changes", self._live.changes),
            Route("/login", self._login, methods=["GET", "POST"]),
            Route("/logout", self._logout, methods=["POST"]),
            Route("/rollouts/{rollout}/ask", self._ask, methods=["POST"]),
            *self._kill_switch.routes(),
        ]

    def _overview(self, _: Request) -> Page:
        return content.overview(self._projection, self._letters, self._clock())

    def _rollout(self, request: Request) -> Page:
        book = self._projection.book(str(request.path_params["rollout"]))
        if book is None:
            raise NotFoundError(f"no rollout {str(request.path_params['rollout'])[:100]}")
        return content.rollout(self._projection, book)

    def _flag(self, request: Request) -> Page:
        target = target_of(request)
        if not self._projection.target_of(target).flag.known:
            raise NotFoundError(f"there is no flag {target[:200]}")
        return flags.flag(self._projection, target)

    def _events(self, request: Request) -> Page:
        wanted = wanted_of(request, self._clock())
        if not wanted.types:
            wanted = replace(wanted, without=_NOISE)
        return content.events(self._projection, wanted, request.query_params.get("types", ""))

    def _shown(self, make: Make) -> Callable[[Request], Any]:
        async def show(request: Request) -> Response:
            try:
                if (at := request.query_params.get("at")) is not None:
                    raise NotFoundError(f"There is no page as of event {at[:40]}: pages show the present only")
                return self._site.page(make(request), self._common(request))
            except (NotFoundError, InvalidError) as error:
                status = 404 if isinstance(error, NotFoundError) else 422
                return self._site.page(
                    Page("problem.html", "Not found", {}, {"trouble": str(error)}), self._common(request), status
                )

        return show

    async def on_http_error(self, request: Request, error: Exception) -> Response:
        """Starlette's handler of unknown paths and wrong methods: a page for browsers, JSON for everybody else."""
        if not isinstance(error, HTTPException) or "text/html" not in request.headers.get("accept", ""):
            return await on_http_error(request, error)
        shown = quote(request.url.path[:100])
        text = f"There is no page {shown}." if error.status_code == 404 else f"{shown} cannot be opened in a browser."
        page = Page("problem.html", "Page not found", {}, {"trouble": text})
        answer = self._site.page(page, self._common(request), error.status_code)
        answer.headers.update(error.headers or {})
        return answer

    def _common(self, request: Request) -> dict[str, Any]:
        now = self._clock()
        path = request.url.path.removeprefix("/pages").removesuffix("/parts").replace("/overview", "/") or "/"
        return {
            "now": now,
            "seq": self._projection.seq,
            "session": self._door.session(request, now.timestamp()),
            "path": path,
            "query": request.url.query,
            "said": self._said(request),
        }

    def _said(self, request: Request) -> dict[str, str] | None:
        """Return the outcome of the form that led to this page."""
        asked = request.query_params.get("asked")
        if not asked:
            return None
        caused = self._projection.caused_by(asked)
        if caused is None:
            return {"state": "attention", "text": "Requested. Not confirmed yet; the result will appear here."}
        if isinstance(caused.event, CommandRefused):
            return {"state": "failed", "text": f"Refused: {caused.event.detail}"}
        return {"state": "healthy", "text": f"Done: {caused.event.type} is recorded."}

    async def _login(self, request: Request) -> Response:
        then = local_path(request.query_params.get("then", "/"))
        if request.method == "GET":
            return self._site.page(
                Page("login.html", "Sign in", {}, {"then": then, "wrong": ""}), self._common(request)
            )
        form = await form_of(request)
        then = local_path(form.get("then", "/"))
        now: datetime = self._clock()
        try:
            cookie = self._door.sign_in(form.get("token", ""), now.timestamp(), address_of(request))
        except (UnauthorizedError, TooManyAttemptsError) as error:
            status = status_of(error)
            wrong = str(error) if status == 429 else "This token is unknown or has expired."
            page = Page("login.html", "Sign in", {}, {"then": then, "wrong": wrong})
            answer: Response = self._site.page(page, self._common(request), status)
            answer.headers.update(retry_headers(status, error))
            return answer
        answer = RedirectResponse(then, 303)
        secure = request.url.scheme == "https"
        answer.set_cookie(COOKIE, cookie, max_age=SESSION_S, httponly=True, samesite="strict", secure=secure)
        return answer

    async def _logout(self, request: Request) -> Response:
        now = self._clock().timestamp()
        self._door.checked_form(request, await form_of(request), now)
        self._door.sign_out(request, now)
        answer = RedirectResponse("/", 303)
        answer.delete_cookie(COOKIE)
        return answer

    async def _ask(self, request: Request) -> Response:
        """Handle the form of an action; the answer is the page again, with the outcome."""
        rollout = str(request.path_params["rollout"])
        form = await form_of(request)
        try:
            who = self._door.checked_form(request, form, self._clock().timestamp())
            verb = form.get("verb", "")
            book = self._projection.book(rollout)
            if book is None or book.state is None or verb not in VERBS:
                raise NotFoundError(f"no rollout {rollout[:100]}, or no such action")
            who = self._door.permitted(request, who, *VERBS[verb].roles, target=book.state.target)
            asked = self._commands.on_rollout(
                verb, rollout, book.state.target, _body(form), who, form.get("key") or None
            )
            await self._commands.ask(asked, _PATIENCE_S)
        except (PenstockError, ValidationError) as error:
            unfit = isinstance(error, ValidationError)
            text = "Give a reason of at most 2,000 characters." if unfit else str(error)
            return self._site.page(
                Page("problem.html", "Not done", {}, {"trouble": text}),
                self._common(request),
                422 if unfit else status_of(error),
            )
        return RedirectResponse(f"/rollouts/{rollout}?{urlencode({'asked': asked.id})}", 303)


def _body(form: dict[str, str]) -> VerbBody:
    sequence = form.get("sequence", "")
    expected = Expected(stage=form.get("stage") or None, sequence=int(sequence) if sequence.isdigit() else None)
    return VerbBody(reason=form.get("reason", ""), override=form.get("override") == "on", expected=expected)


def local_path(path: str) -> str:
    """Return the path if it is one of ours: an open redirect would help phishing."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) and "\n" not in path else "/"


def _message(seq: int, data: dict[str, Any]) -> str:
    return f"id: {seq}\ndata: {msgspec.json.encode(data).decode()}\n\n"
