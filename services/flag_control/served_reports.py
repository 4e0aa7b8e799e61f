"""Which version of a flag this instance has sent to how many of its streams: what containment is measured by."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from penstock import ids
from penstock.events import FlagServed
from services.flag_control.evaluation.source import set_id_of
from services.flag_control.flag.change import SOURCE
from services.flag_control.flag.exposure import key_of, set_of
from services.flag_control.flag.lifecycle import moment
from services.flag_control.flag.state import FlagState
from services.flag_control.serving.streams import Signal, Stream, Streams
from services.runtime.process.service import Clock
from services.runtime.process.tasks import Tasks

PARTIAL_AFTER_SECONDS = 1.0
RECONNECT_SECONDS = 5.0
"""In-process clients come back within it, by their own default. Until then the number of clients is unknown."""

REPORTED_AGAIN = timedelta(days=1)
"""Changes up to this age are reported again after a restart; a rollback that waited for an older one has escalated."""
_LOOK_AFTER_SECONDS = 0.002
_BETWEEN_BREATHS = 20

log = logging.getLogger(__name__)


@dataclass
class _Open:
    """A version on its way to the streams."""

    target: str
    state: FlagState
    cause: str | None
    since: float | None
    timer: asyncio.TimerHandle | None = None
    changed: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Count:
    """Streams that read a flag, how many of them were sent a version at least as new, and when the last of these was.

    `last` is by the monotonic clock, 0 without streams.
    """

    streams: int
    served: int
    last: float = 0.0


class ServedReports:
    """Reports a change once every stream was sent it, and the counts after a second if that takes longer."""

    def __init__(
        self,
        instance: str,
        streams: Streams,
        on_disk: Callable[[str], bool],
        moved: Signal,
        emit: Callable[[FlagServed], None],
        clock: Clock,
    ) -> None:
        """Take the streams to count, and where reports go.

        `on_disk` tells whether a flag is on disk as it is served: nothing is reported before. `moved` is sent when a
        stream was sent a set or left, and when flags were written to disk.
        """
        self._instance = instance
        self._streams = streams
        self._on_disk = on_disk
        self._emit = emit
        self._clock = clock
        self._open: dict[str, _Open] = {}
        self._looking = False
        self._again: dict[str, FlagState] = {}
        self._reconnecting = False
        self._tasks = Tasks("flag_control, reporting what is served,")
        moved.subscribe(self._look_soon)

    def changed(self, target: str, state: FlagState, cause: str, since: float) -> None:
        """Watch a version reach the streams; `since` is when its decision was received, monotonic."""
        self._close(target)
        self._again.pop(target, None)
        opened = _Open(target, state, cause, since)
        self._open[target] = opened
        opened.timer = asyncio.get_running_loop().call_later(PARTIAL_AFTER_SECONDS, self._partial, opened)
        self._finish(opened)

    def restored(self, flags: Mapping[str, FlagState]) -> None:
        """Report again the flags that changed lately: the instance may have stopped before it could."""
        if not flags:
            return
        oldest = self._clock() - REPORTED_AGAIN
        recent = {}
        for target, state in flags.items():
            try:
                changed = _changed_at(state)
            except Exception:
                log.exception("%s: who has its flag is not reported again", target)
                continue
            if changed and changed >= oldest:
                recent[target] = changed
        self._again = {
            target: flags[target] for target in sorted(recent, key=lambda target: recent[target], reverse=True)
        }
        self._reconnecting = True
        self._tasks.spawn(self._report_restored())

    async def stop(self) -> None:
        """Stop reporting."""
        await self._tasks.stop()
        for target in list(self._open):
            self._close(target)

    def alive(self) -> bool:
        """Whether nothing that it does in the background has failed."""
        return self._tasks.alive()

    def count(self, target: str, version: int) -> Count:
        """Return how many streams read the flag, and how many were sent that version or a newer one."""
        key, name = key_of(target), set_of(target)
        readers = [stream for stream in self._streams.connected if _reads(stream, key, name)]
        served = [
            stream.at for stream in readers if stream.sent is not None and (stream.sent.version(key) or 0) >= version
        ]
        return Count(len(readers), len(served), max(served, default=0.0))

    def closed(self, target: str, since: float) -> int:
        """Return how many streams that read the flag were closed since then because they read nothing."""
        key, name = key_of(target), set_of(target)
        return sum(_reads(one, key, name) for one in self._streams.closed if (one.closed_at or 0.0) >= since)

    def _look_soon(self) -> None:
        # A change reaches a thousand streams one by one; looking after each would cost more than sending.
        if self._open and not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_later(_LOOK_AFTER_SECONDS, self._look)

    def _look(self) -> None:
        self._looking = False
        for opened in list(self._open.values()):
            self._finish(opened)

    async def _report_restored(self) -> None:
        # Clients connected before the restart may still have the old version, and are not counted yet.
        await asyncio.sleep(RECONNECT_SECONDS)
        self._reconnecting = False
        for opened in list(self._open.values()):
            self._report_now(opened)
        for number, target in enumerate(list(self._again), start=1):
            state = self._again.pop(target, None)
            if state is not None:
                self._open[target] = _Open(target, state, None, None)
                self._report_now(self._open[target])
            if number % _BETWEEN_BREATHS == 0:
                await asyncio.sleep(0)

    def _report_now(self, opened: _Open) -> None:
        self._finish(opened)
        self._partial(opened)

    def _finish(self, opened: _Open) -> None:
        # A report means that the flag is safe, even through a crash: what is not on disk is not reported yet.
        if self._reconnecting or not self._on_disk(opened.target):
            return
        count = self.count(opened.target, opened.state.version)
        if count.served >= count.streams:
            self._close(opened.target)
            self._emit_report(opened, count)

    def _partial(self, opened: _Open) -> None:
        if self._reconnecting or self._open.get(opened.target) is not opened:
            return
        if self._on_disk(opened.target):
            self._emit_report(opened, self.count(opened.target, opened.state.version))
        else:
            loop = asyncio.get_running_loop()
            opened.timer = loop.call_later(PARTIAL_AFTER_SECONDS, self._partial, opened)

    def _close(self, target: str) -> None:
        before = self._open.pop(target, None)
        if before is not None and before.timer is not None:
            before.timer.cancel()

    def _emit_report(self, opened: _Open, count: Count) -> None:
        state, now = opened.state, self._clock()
        elapsed = None
        if opened.since is not None:
            until = max(opened.since, _until(opened, count))
            elapsed = round((until - opened.since) * 1000, 3)
        # A report after a restart is another fact, and has no elapsed time.
        again = () if opened.since is not None else (now.isoformat(),)
        about = (self._instance, opened.target, state.version, count.streams, count.served, *again)
        self._emit(
            FlagServed(
                id=ids.derive("flag.served", *about),
                source=SOURCE,
                target=opened.target,
                time=now,
                rollout=state.reach.rollout or None,
                cause=opened.cause,
                instance=self._instance,
                version=state.version,
                revision=state.revision,
                streams=count.streams,
                served=count.served,
                closed=self.closed(opened.target, opened.changed) or None,
                elapsed_ms=elapsed,
            )
        )


def _until(opened: _Open, count: Count) -> float:
    if count.served:
        return count.last
    return time.monotonic() if count.streams else opened.changed


def _changed_at(state: FlagState) -> datetime | None:
    latest = state.history.get(str(state.version))
    return moment(latest.at) if latest is not None else None


def _reads(stream: Stream, key: str, name: str) -> bool:
    if stream.sent is None:
        return stream.selector in ("", f"source={name}", f"flagSetId={name}")
    flag = stream.sent.flags.get(key)
    return flag is not None and set_id_of(flag) == name
