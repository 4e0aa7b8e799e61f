"""Redis as a view of the flags for whoever wants to read them there; losing it costs nothing but the view."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import msgspec
import redis.asyncio
import redis.exceptions
from redis.backoff import NoBackoff
from redis.retry import Retry

from penstock.chain import Document
from services.runtime.process.tasks import Tasks

KEY = "penstock:flag:"
CHANNEL = "penstock:flags"
_TIMEOUT_SECONDS = 0.1
_AGAIN_SECONDS = 1.0

# One call: the version is checked, the document written and the change told, or nothing is.
_WRITE = """
local known = tonumber(redis.call('HGET', KEYS[1], 'version') or '-1')
if tonumber(ARGV[1]) < known then return 0 end
redis.call('HSET', KEYS[1], 'version', ARGV[1], 'flag', ARGV[2])
if tonumber(ARGV[1]) > known then redis.call('PUBLISH', ARGV[3], KEYS[1]) end
return 1
"""

log = logging.getLogger(__name__)


class RedisView:
    """Writes the newest flag of each target; whatever could not be written is written again when Redis is back."""

    def __init__(self, url: str, flag_of: Callable[[str], tuple[int, Document] | None]) -> None:
        """Take the server's URL; `flag_of` gives a target's present version and flag."""
        self._redis: Any = redis.asyncio.from_url(
            url,
            socket_timeout=_TIMEOUT_SECONDS,
            socket_connect_timeout=_TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._flag_of = flag_of
        self._dirty: set[str] = set()
        self._known: set[str] = set()
        self._wake = asyncio.Event()
        self._tasks = Tasks("flag_control, writing the Redis view,")
        self._away = False

    def start(self) -> None:
        """Begin to write."""
        self._tasks.spawn(self._run(), lasting=True)

    async def stop(self) -> None:
        """Stop writing."""
        await self._tasks.stop()
        await self._redis.aclose()

    def alive(self) -> bool:
        """Whether it writes, or waits for Redis."""
        return self._tasks.alive()

    def changed(self, *targets: str) -> None:
        """Take note of targets whose flag changed; returns at once."""
        self._dirty.update(targets)
        self._known.update(targets)
        self._wake.set()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                while self._dirty:
                    target = next(iter(self._dirty))
                    await self._write(target)
                    self._dirty.discard(target)
            except (redis.exceptions.RedisError, OSError) as error:
                self._lost(error)
                await asyncio.sleep(_AGAIN_SECONDS)
                self._wake.set()
            else:
                self._away = False

    async def _write(self, target: str) -> None:
        found = self._flag_of(target)
        if found is not None:
            version, flag = found
            await self._redis.eval(_WRITE, 1, KEY + target, version, msgspec.json.encode(flag), CHANNEL)

    def _lost(self, error: Exception) -> None:
        if not self._away:
            log.warning("the flag view in Redis is away (%s); serving goes on without it", type(error).__name__)
        self._away = True
        # A server that comes back may have lost everything.
        self._dirty = set(self._known)
