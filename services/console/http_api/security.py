"""Who asks, and what browsers may do with our pages: bearer tokens, signed sessions, CSRF tokens, headers."""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from penstock.errors import UnauthorizedError
from penstock.tokens import Identity, Tokens
from services.runtime.http.errors import ForbiddenError

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": CSP,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "x-frame-options": "DENY",
}
COOKIE = "penstock_session"
SESSION_S = 12 * 3600


class SecurityHeaders:
    """Puts the headers on every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, with_headers)


@dataclass(frozen=True)
class Session:
    """Who is signed in at the dashboard, and the token that its forms must carry."""

    who: Identity
    csrf: str


class Door:
    """Tells who asks.

    Args:
        tokens: the tokens file.
        key: secret of all consoles that share sessions.
    """

    def __init__(self, tokens: Tokens, key: bytes) -> None:
        self._tokens = tokens
        self._key = key

    def identify(self, request: Request, *roles: str) -> Identity:
        """Return whose bearer token the request carries.

        Raises:
            UnauthorizedError: no token, or an unknown one.
            ForbiddenError: none of the roles, where some are asked for.
        """
        who = self._tokens.identify(request.headers.get("authorization"))
        return permitted(who, *roles)

    def sign_in(self, token: str, now: float) -> str:
        """Return the session cookie's value for a token.

        Raises:
            UnauthorizedError: an unknown token.
        """
        who = self._tokens.identify(f"Bearer {token}")
        body = f"{who.sha256[:32]}.{int(now) + SESSION_S}"
        return f"{body}.{self._mac('session', body)}"

    def holder(self, token: str) -> Identity:
        """Return whose token this is.

        Raises:
            UnauthorizedError: an unknown token.
        """
        return self._tokens.identify(f"Bearer {token}")

    def session(self, request: Request, now: float) -> Session | None:
        """Return the session of the request's cookie, None without a valid one."""
        value = request.cookies.get(COOKIE, "")
        body, _, mac = value.rpartition(".")
        if not body or not _same(mac, self._mac("session", body)):
            return None
        prefix, _, expires = body.partition(".")
        who = next((known for known in self._tokens.tokens if known.sha256.startswith(prefix)), None)
        if who is None or int(expires) < now:
            return None
        return Session(who, self._mac("csrf", value))

    def checked_form(self, request: Request, form: Any, now: float) -> Identity:
        """Return who posts a form.

        Raises:
            UnauthorizedError: no session.
            ForbiddenError: the form was not made for this session.
        """
        session = self.session(request, now)
        if session is None:
            raise UnauthorizedError("sign in first")
        if not _same(str(form.get("csrf", "")), session.csrf):
            raise ForbiddenError("this form was not made for your session: load the page again")
        return session.who

    def _mac(self, purpose: str, text: str) -> str:
        return hmac.new(self._key, f"{purpose}\x1f{text}".encode(), hashlib.sha256).hexdigest()


def _same(given: str, expected: str) -> bool:
    # compare_digest refuses text that is not ASCII, and a forger may send any.
    return hmac.compare_digest(given.encode(errors="replace"), expected.encode())


def permitted(who: Identity, *roles: str) -> Identity:
    """Return `who` if it has one of the roles, or none is asked for.

    Raises:
        ForbiddenError: it has none of them.
    """
    if roles and not who.has(*roles):
        raise ForbiddenError(f"{who.identity} lacks the role: it takes {' or '.join(roles)}")
    return who
