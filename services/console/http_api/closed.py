"""What is refused before any route: other names of this server (DNS rebinding), and reading without a role."""

import ipaddress
import socket
import urllib.parse
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from penstock.errors import PenstockError, UnauthorizedError
from penstock.settings import Settings
from services.console.http_api.responses import Json, problem
from services.console.http_api.security import Door

_FREE = ("/health/", "/static/", "/openapi.json", "/login")
_LOOPBACK = frozenset({"localhost", "localhost.localdomain"})


class Hosts:
    """Answers only requests that name this server, so a page of another site cannot reach it under its own name.

    IP addresses are always accepted: DNS rebinding needs a name.

    Args:
        names: of this server, in lower case.
    """

    def __init__(self, app: ASGIApp, names: frozenset[str]) -> None:
        self._app, self._names = app, names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._knows(Request(scope).headers.getlist("host")):
            body = {
                "error": "this server does not answer to that name",
                "next": "Name it in PENSTOCK_HOSTS, or ask by its address.",
            }
            await Json(body, 421)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _knows(self, given: list[str]) -> bool:
        if len(given) != 1:
            return False
        try:
            name = urllib.parse.urlsplit(f"//{given[0]}").hostname or ""
        except ValueError:
            return False
        return name.rstrip(".") in self._names or _is_address(name)


class ReadAccess:
    """Lets only those read who may; writes, sign-in, health and static files check for themselves.

    Args:
        door: knows who asks; now: Unix seconds.
    """

    def __init__(self, app: ASGIApp, door: Door, now: Callable[[], float]) -> None:
        self._app, self._door, self._now = app, door, now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] == "POST" or scope["path"].startswith(_FREE):
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        try:
            allowed = self._door.may_read(request, self._now())
        except PenstockError as error:
            await problem(error)(scope, receive, send)
            return
        if allowed:
            await self._app(scope, receive, send)
        elif "text/html" in request.headers.get("accept", ""):
            then = urllib.parse.quote(request.url.path)
            await RedirectResponse(f"/login?then={then}", 303)(scope, receive, send)
        else:
            await problem(UnauthorizedError("reading takes a token here (PENSTOCK_READ=role)"))(scope, receive, send)


def names_of(settings: Settings) -> frozenset[str]:
    """Return the names that the console answers to: loopback's, the machine's, and those of the settings."""
    given = {name.strip().lower() for name in settings.hosts.split(",") if name.strip()}
    own = urllib.parse.urlsplit(settings.server).hostname or ""
    return frozenset(_LOOPBACK | given | {own, settings.host.lower(), socket.gethostname().lower()}) - {""}


def reads_need_a_role(settings: Settings) -> bool:
    """Whether reading takes a role: as the settings say, else wherever the console listens beyond loopback."""
    if settings.read is not None:
        return settings.read == "role"
    if settings.host in _LOOPBACK:
        return False
    return not (_is_address(settings.host) and ipaddress.ip_address(settings.host).is_loopback)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
