"""Brings every change of a flag to disk, behind the serving: soon, in batches, and never in its way."""

import asyncio
import logging
from collections.abc import Callable

from services.flag_control.fallback.last_good import LastGood, SavedFlag
from services.flag_control.serving.streams import Signal
from services.runtime.process.tasks import Tasks, begin

_BATCH = 100
_AGAIN_SECONDS = 1.0

log = logging.getLogger(__name__)


class LastGoodWriter:
    """Writes the newest of each flag that changed; what changes again before the write is written once."""

    def __init__(
        self,
        last_good: LastGood,
        flag_of: Callable[[str], SavedFlag | None],
        on_written: Callable[[tuple[SavedFlag, ...]], None],
        moved: Signal,
    ) -> None:
        """Take the files; `flag_of` returns a target's flag, None if there is none.

        `on_written` is called in a thread with the flags that are on disk now.
        """
        self._last_good = last_good
        self._flag_of = flag_of
        self._on_written = on_written
        self._moved = moved
        self._dirty: dict[str, None] = {}
        self._writing: frozenset[str] = frozenset()
        self._wake = asyncio.Event()
        self._started = False
        self._tasks = Tasks("flag_control, writing the last good flags,")
        self._failed = False

    def start(self) -> None:
        """Start writing."""
        self._started = True
        self._tasks.spawn(self._run(), lasting=True)

    async def stop(self) -> None:
        """Write what is left, if the disk takes it, and stop."""
        if not self._started:
            return
        await self._tasks.stop()
        while self._dirty:
            await self._write()
            if self._failed:
                break

    def alive(self) -> bool:
        """Whether it writes, or tries the disk again."""
        return self._tasks.alive()

    def changed(self, *targets: str) -> None:
        """Take note of targets whose flag changed; returns at once."""
        self._dirty.update(dict.fromkeys(targets))
        self._wake.set()

    def on_disk(self, target: str) -> bool:
        """Whether the flag is on disk as it is served, or the disk refused it; `moved` is sent when that changes."""
        return self._failed or not (target in self._dirty or target in self._writing)

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._dirty:
                await self._write()
                if self._failed:
                    await asyncio.sleep(_AGAIN_SECONDS)

    async def _write(self) -> None:
        batch = list(self._dirty)[:_BATCH]
        for target in batch:
            del self._dirty[target]
        found: dict[str, SavedFlag | None] = {}
        for target in batch:
            try:
                found[target] = self._flag_of(target)
            except Exception:
                log.exception("%s: its last good flag on disk stays as it was", target)
        self._writing = frozenset(batch)
        writing = begin(asyncio.to_thread(self._to_disk, found))
        try:
            await asyncio.shield(writing)
            self._failed = False
        except OSError as error:
            if not self._failed:
                log.warning("the last good flags are not kept on disk (%s); serving goes on without them", error)
            self._failed = True
            self._dirty.update(dict.fromkeys(batch))
        except asyncio.CancelledError:
            # A thread cannot be stopped: overtaken by the next write, it would restore an older, wider exposure.
            await asyncio.gather(writing, return_exceptions=True)
            self._dirty.update(dict.fromkeys(batch))
            raise
        finally:
            self._writing = frozenset()
        self._moved.send()

    def _to_disk(self, found: dict[str, SavedFlag | None]) -> None:
        flags = tuple(flag for flag in found.values() if flag is not None)
        self._last_good.write(flags)
        self._last_good.forget(target for target, flag in found.items() if flag is None)
        self._on_written(flags)
