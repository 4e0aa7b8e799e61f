"""Who asks, and what browsers may do with our pages: bearer tokens, signed sessions, CSRF tokens, headers."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from penstock.access.denials import Authenticator, Denials, Report, to_log
from penstock.errors import UnauthorizedError
from penstock.tokens import Identity, KnownTokens, Role
from services.console.http_api.sessions import EndedSessions
from services.runtime.http.errors import ForbiddenError

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "worker-src 'self'; "
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
    """Finds out who asks.

    Args:
        tokens: the tokens file.
        key: secret of all consoles that share sessions.
        ended: sessions that were signed out.
        report: receives what was denied.
    """

    def __init__(
        self, tokens: KnownTokens, key: bytes, ended: EndedSessions | None = None, report: Report = to_log
    ) -> None:
        self._tokens = tokens
        self._key = key
        self._ended = ended or EndedSessions()
        self._authenticator = Authenticator(tokens, Denials("console", report))

    def identify(self, request: Request, *roles: str) -> Identity:
        """Return whose bearer token the request carries.

        Raises:
            UnauthorizedError: no token, or an unknown one.
            TooManyAttemptsError: too many unknown ones.
            ForbiddenError: none of the roles, where some are asked for.
        """
        who = self._authenticator.identify(request.headers.get("authorization"), address_of(request))
        return self.permitted(request, who, *roles)

    def permitted(self, request: Request, who: Identity, *roles: str, target: str | None = None) -> Identity:
        """Return the identity, with the roles that it has for the target.

        Raises:
            ForbiddenError: none of the roles, where some are asked for; the attempt is reported.
        """
        try:
            return permitted(who, *roles, target=target)
        except ForbiddenError:
            self._authenticator.forbidden(who, address_of(request))
            raise

    def may_read(self, request: Request, now: float) -> bool:
        """Whether the request carries a session or a token that may read.

        Raises:
            UnauthorizedError: an unknown token.
            TooManyAttemptsError: too many unknown ones.
        """
        if "authorization" in request.headers:
            return reads(self.identify(request))
        session = self.session(request, now)
        return session is not None and reads(session.who)

    def sign_in(self, token: str, now: float, address: str = "") -> str:
        """Return the session cookie's value for a token; the session ends when the token does.

        Raises:
            UnauthorizedError: an unknown token.
            TooManyAttemptsError: too many unknown ones.
        """
        who = self.holder(token, address)
        expires = now + SESSION_S if who.expires is None else min(now + SESSION_S, who.expires.timestamp())
        body = f"{who.sha256[:32]}.{int(expires)}.{secrets.token_hex(16)}"
        return f"{body}.{self._mac('session', body)}"

    def sign_out(self, request: Request, now: float) -> None:
        """End the request's session wherever its cookie is kept; it stays ended after a restart."""
        if self.session(request, now) is not None:
            body = request.cookies[COOKIE].rpartition(".")[0]
            _, expires, name = body.split(".")
            self._ended.add(name, int(expires), now)

    def holder(self, token: str, address: str = "") -> Identity:
        """Return whose token this is.

        Raises:
            UnauthorizedError: an unknown token.
            TooManyAttemptsError: too many unknown ones.
        """
        return self._authenticator.identify(f"Bearer {token}", address)

    def session(self, request: Request, now: float) -> Session | None:
        """Return the session of the request's cookie, None without a valid one."""
        value = request.cookies.get(COOKIE, "")
        body, _, mac = value.rpartition(".")
        if not body or not _same(mac, self._mac("session", body)):
            return None
        prefix, expires, name = body.split(".") if body.count(".") == 2 else ("", "0", "")
        who = next((known for known in self._tokens.tokens if prefix and known.sha256.startswith(prefix)), None)
        if who is None or int(expires) <= now or name in self._ended:
            return None
        if who.expires is not None and who.expires.timestamp() <= now:
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


def permitted(who: Identity, *roles: str, target: str | None = None) -> Identity:
    """Return `who` if it has one of the roles, or none is asked for; with the roles that it has for the target.

    Raises:
        ForbiddenError: it has none of them.
    """
    here = who.on(target) if target is not None else who
    if roles and not here.has(*roles):
        where = f" for {target}" if target is not None else ""
        own = ", ".join(sorted(here.roles)) or "no role"
        raise ForbiddenError(f"You need the role {' or '.join(roles)}{where}. {who.identity} has: {own}.")
    return here


def reads(who: Identity) -> bool:
    """Whether the identity may read: any role lets it, but the one that only sends metrics."""
    return any(role != Role.METRICS for role in who.roles)


def address_of(request: Request) -> str:
    """Return the client's address; behind a proxy it is the proxy's."""
    return request.client.host if request.client is not None else ""
