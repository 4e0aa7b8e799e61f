"""Writes the flags to Redis for programs that read them there: a view that nothing here reads back."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
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

_CHECK_SECONDS = 30.0
"""Between two comparisons of the whole view with the log."""
_AHEAD_SECONDS = 2.0
"""A version that the log does not reach within this time was not written from the log."""

# One call: the version is compared, the document written and the change published, or nothing is. A version ahead of
# ours is left alone (1 is returned) unless ARGV[4] asks to overwrite it; what is no flag of ours is overwritten.
_WRITE = """
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'hash' and kind ~= 'none' then redis.call('DEL', KEYS[1]) end
local found = redis.call('HMGET', KEYS[1], 'version', 'flag')
local known = tonumber(found[1] or '')
if known and known > tonumber(ARGV[1]) and ARGV[4] ~= 'overwrite' then return 1 end
if found[1] == ARGV[1] and found[2] == ARGV[2] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'version', ARGV[1], 'flag', ARGV[2])
redis.call('PUBLISH', ARGV[3], KEYS[1])
return 0
"""

log = logging.getLogger(__name__)


class RedisView:
    """Writes the newest flag of each target, and restores what others changed: the log decides, never the view.

    A version ahead of ours may be that of another instance that has read more of the log. It is left alone for
    `ahead_seconds`; if the log has not led us there by then, it was not written from the log and is overwritten.
    """

    def __init__(
        self,
        url: str,
        flag_of: Callable[[str], tuple[int, Document] | None],
        check_seconds: float = _CHECK_SECONDS,
        ahead_seconds: float = _AHEAD_SECONDS,
    ) -> None:
        """Take the server's URL; `flag_of` gives a target's present version and flag."""
        self._redis: Any = redis.asyncio.from_url(
            url,
            socket_timeout=_TIMEOUT_SECONDS,
            socket_connect_timeout=_TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._flag_of = flag_of
        self._check_seconds, self._ahead_seconds = check_seconds, ahead_seconds
        self._dirty: set[str] = set()
        self._known: set[str] = set()
        self._ahead: dict[str, float] = {}
        self._wake = asyncio.Event()
        self._tasks = Tasks("flag_control, writing the Redis view,")
        self._away = False

    def start(self) -> None:
        """Start writing."""
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
        checked = self._now()
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._ahead_seconds if self._ahead else self._check_seconds)
            self._wake.clear()
            self._dirty.update(self._ahead)
            if self._now() - checked >= self._check_seconds:
                self._dirty.update(self._known)
                checked = self._now()
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
        try:
            found = self._flag_of(target)
        except Exception:
            log.exception("%s: the view keeps the flag that it has", target)
            return
        if found is None:
            return
        version, flag = found
        since = self._ahead.get(target)
        overwrite = since is not None and self._now() - since >= self._ahead_seconds
        if overwrite:
            log.warning("the view of %s was ahead of the log for %g s: overwritten", target, self._ahead_seconds)
        how = "overwrite" if overwrite else ""
        if await self._redis.eval(_WRITE, 1, KEY + target, version, msgspec.json.encode(flag), CHANNEL, how):
            self._ahead.setdefault(target, self._now())
        else:
            self._ahead.pop(target, None)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _lost(self, error: Exception) -> None:
        if not self._away:
            log.warning("the flag view in Redis is away (%s); serving goes on without it", type(error).__name__)
        self._away = True
        # A server that comes back may have lost everything.
        self._dirty = set(self._known)
