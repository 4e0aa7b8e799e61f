"""The other flag controls, told of a kill directly: it must not wait for Kafka."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from penstock.events import KillRequested, to_json

PEER_PATH = "/flags/peers/kill"
_TIMEOUT_SECONDS = 1.0


@dataclass(frozen=True)
class Told:
    """Where a kill is in force: `reached` of `peers`, and which were not."""

    peers: int
    reached: int
    unreached: tuple[str, ...]


class Peers:
    """Write endpoints of the other instances, from the settings."""

    def __init__(self, urls: str) -> None:
        self._urls = tuple(url.strip().rstrip("/") for url in urls.split(",") if url.strip())
        self._client = httpx.AsyncClient(timeout=_TIMEOUT_SECONDS, follow_redirects=False)

    async def close(self) -> None:
        """Disconnect."""
        await self._client.aclose()

    async def kill(self, kill: KillRequested, authorization: str) -> Told:
        """Tell every peer, at the same time, with the asker's own token."""
        answers = await asyncio.gather(*(self._tell(url, kill, {"authorization": authorization}) for url in self._urls))
        unreached = tuple(url for url, well in zip(self._urls, answers, strict=True) if not well)
        return Told(len(self._urls), sum(answers), unreached)

    async def _tell(self, url: str, kill: KillRequested, headers: Mapping[str, str]) -> bool:
        try:
            answer = await self._client.post(url + PEER_PATH, json=to_json(kill), headers=dict(headers))
        except (httpx.HTTPError, httpx.InvalidURL):
            return False
        return answer.status_code == httpx.codes.OK
