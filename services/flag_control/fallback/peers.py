"""The other instances: sends them each kill, and asks them for newer flags, directly. Neither may wait for Kafka."""

import asyncio
import hashlib
import hmac
import logging
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from penstock.errors import InvalidError
from penstock.events import KillRequested, to_json
from penstock.tokens import KnownTokens
from services.flag_control.fallback.peer_flags import PeerFlags, decoded

PEER_PATH = "/flags/peers/kill"
FLAGS_PATH = "/flags/peers/flags"
_TIMEOUT_SECONDS = 1.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PeersReached:
    """Where a kill is in force: `reached` of `peers`, and which were not."""

    peers: int
    reached: int
    unreached: tuple[str, ...]


class Peers:
    """Write endpoints of the other instances, from the settings."""

    def __init__(self, urls: str, key: str = "") -> None:
        """Take the comma-separated URLs, and the key that instances with the same tokens file share."""
        self._headers = {"authorization": f"Peer {key}"} if key else {}
        self._known: dict[str, tuple[str, PeerFlags]] = {}
        self._urls = tuple(url.strip().rstrip("/") for url in urls.split(",") if url.strip())
        self._client = httpx.AsyncClient(timeout=_TIMEOUT_SECONDS, follow_redirects=False)

    async def close(self) -> None:
        """Disconnect."""
        await self._client.aclose()

    async def kill(self, kill: KillRequested, authorization: str) -> PeersReached:
        """Send the kill to every peer, at the same time, with the caller's own token."""
        answers = await asyncio.gather(
            *(self._send_kill(url, kill, {"authorization": authorization}) for url in self._urls)
        )
        unreached = tuple(url for url, well in zip(self._urls, answers, strict=True) if not well)
        return PeersReached(len(self._urls), sum(answers), unreached)

    async def flags(self) -> tuple[PeerFlags, ...]:
        """Ask every peer, at the same time, what it serves; who does not answer is left out."""
        answers = await asyncio.gather(*map(self._ask, self._urls))
        return tuple(answer for answer in answers if answer is not None)

    async def _ask(self, url: str) -> PeerFlags | None:
        etag, before = self._known.get(url, ("", None))
        try:
            answer = await self._client.get(url + FLAGS_PATH, headers={**self._headers, "if-none-match": etag})
            if answer.status_code == httpx.codes.NOT_MODIFIED:
                return before
            answer.raise_for_status()
            shared = decoded(answer.content)
        except (httpx.HTTPError, httpx.InvalidURL):
            return None
        except (ValueError, RecursionError, InvalidError) as error:
            log.warning("the flags of the peer %s cannot be read: %s", url, error)
            return None
        self._known[url] = (answer.headers.get("etag", ""), shared)
        return shared

    async def _send_kill(self, url: str, kill: KillRequested, headers: Mapping[str, str]) -> bool:
        try:
            answer = await self._client.post(url + PEER_PATH, json=to_json(kill), headers=dict(headers))
        except (httpx.HTTPError, httpx.InvalidURL):
            return False
        return answer.status_code == httpx.codes.OK


def peer_key(tokens: KnownTokens) -> str:
    """Return what an instance shows to its peers: they share the tokens file. Empty where there are no tokens."""
    if not tokens.tokens:
        return ""
    secret = hashlib.sha256("".join(sorted(identity.sha256 for identity in tokens.tokens)).encode()).digest()
    return hmac.new(secret, b"penstock flag control peers", hashlib.sha256).hexdigest()
