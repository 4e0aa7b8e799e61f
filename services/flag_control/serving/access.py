"""Who may evaluate: any known token as bearer or API key; browsers' event streams carry a ticket made from one."""

import hashlib
import hmac
import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime

from penstock.tokens import Identity, KnownTokens, digest_of

_MOST_ADMITTED = 10_000
_FOLLOW_SECONDS = 1.0


class Access:
    """Checks evaluation requests against the tokens file; tickets are valid on all instances that share the file."""

    def __init__(self, tokens: KnownTokens) -> None:
        self._tokens = tokens
        self._of: tuple[Identity, ...] = ()
        self._checked = -math.inf
        self._known: frozenset[str] = frozenset()
        self._admitted: tuple[set[bytes | None], set[bytes | None]] = (set(), set())
        self._secret = b""
        self._follow()

    def _follow(self) -> None:
        """Take over the tokens that are known now, once a second: what was right once may have been revoked."""
        now = time.monotonic()
        if now - self._checked < _FOLLOW_SECONDS:
            return
        self._checked = now
        moment = datetime.now(UTC)  # noqa: TID251 - tokens expire by the machine's clock
        live = tuple(identity for identity in self._tokens.tokens if identity.live(moment))
        if live == self._of:
            return
        self._of = live
        self._known = frozenset(identity.sha256 for identity in live)
        self._admitted = (set(), set())
        self._secret = hashlib.sha256("".join(sorted(self._known)).encode()).digest()

    def admits(self, headers: Mapping[bytes, bytes]) -> bool:
        """Return whether `Authorization: Bearer` or `X-API-Key` carries a known token."""
        self._follow()
        authorization, key = headers.get(b"authorization"), headers.get(b"x-api-key")
        if authorization in self._admitted[0] or key in self._admitted[1]:
            return True
        scheme, _, token = (authorization or b"").partition(b" ")
        if scheme.lower() == b"bearer" and self._knows(token):
            return self._admit(0, authorization or b"")
        return self._knows(key or b"") and self._admit(1, key or b"")

    def _knows(self, token: bytes) -> bool:
        # Looked up by digest, so the time it takes reveals nothing about a stored token.
        given = token.strip()
        return bool(given) and digest_of(given.decode("latin-1")) in self._known

    def _admit(self, by: int, header: bytes) -> bool:
        # A valid header is remembered as it came; its hash is keyed, so the time for a wrong one reveals nothing.
        if len(self._admitted[by]) < _MOST_ADMITTED:
            self._admitted[by].add(header)
        return True

    def ticket(self, selector: str) -> str:
        """Return what lets an EventSource, which cannot send headers, receive the changes of this selector's set."""
        return hmac.new(self._secret, selector.encode(), hashlib.sha256).hexdigest()[:32]

    def admits_ticket(self, selector: str, ticket: str) -> bool:
        """Return whether the ticket was made for this selector."""
        return bool(self._known) and hmac.compare_digest(self.ticket(selector).encode(), ticket.encode())
