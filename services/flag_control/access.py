"""Who may evaluate: any known token as bearer or API key; browsers' event streams carry a ticket made from one."""

import hashlib
import hmac
from collections.abc import Mapping

from penstock.tokens import Tokens, digest_of


class Access:
    """Checks evaluation requests against the tokens file; tickets hold across instances that share the file."""

    def __init__(self, tokens: Tokens) -> None:
        self._known = frozenset(identity.sha256 for identity in tokens.tokens)
        self._secret = hashlib.sha256("".join(sorted(self._known)).encode()).digest()

    def admits(self, headers: Mapping[bytes, bytes]) -> bool:
        """Return whether `Authorization: Bearer` or `X-API-Key` carries a known token."""
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        return (scheme.lower() == b"bearer" and self._knows(token)) or self._knows(headers.get(b"x-api-key", b""))

    def _knows(self, token: bytes) -> bool:
        # Looked up by digest, so the time it takes says nothing about a stored token.
        given = token.strip()
        return bool(given) and digest_of(given.decode("latin-1")) in self._known

    def ticket(self, selector: str) -> str:
        """Return what lets an EventSource, which cannot send headers, hear that this selector's set changed."""
        return hmac.new(self._secret, selector.encode(), hashlib.sha256).hexdigest()[:32]

    def admits_ticket(self, selector: str, ticket: str) -> bool:
        """Return whether the ticket was made for this selector."""
        return bool(self._known) and hmac.compare_digest(self.ticket(selector).encode(), ticket.encode())
