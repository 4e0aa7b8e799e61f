"""Live streams over HTTP (server-sent events): a client that reconnects continues where its connection broke."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec

from services.console.read_models.entries import Entry, Wanted
from services.console.read_models.projection import Projection

_BEAT_S = 10.0
_MOST_WAITING = 5_000
_OVERLAP = timedelta(seconds=60)
"""How far before a client's last event a stream restarts after a restart of the console; subscribers drop repeats."""

BEAT = ": beat\n\n"


class Hub:
    """Gives new entries to every open stream.

    Args:
        life: differs after each start of the console, because sequence numbers start again.
    """

    def __init__(self, projection: Projection, life: str) -> None:
        self._projection = projection
        self._life = life
        self._queues: set[asyncio.Queue[Entry | None]] = set()
        self._closed = False
        projection.listeners.append(self._hand_out)

    def close(self) -> None:
        """End every stream, and those opened before the server stops."""
        self._closed = True
        for queue in self._queues:
            _end(queue)

    @contextmanager
    def listening(self) -> Iterator["asyncio.Queue[Entry | None]"]:
        """Give a queue of the entries from now on; None in it ends the stream."""
        queue: asyncio.Queue[Entry | None] = asyncio.Queue(_MOST_WAITING)
        self._queues.add(queue)
        if self._closed:
            _end(queue)
        try:
            yield queue
        finally:
            self._queues.discard(queue)

    async def events(self, wanted: Wanted, last: str | None) -> AsyncIterator[str]:
        """Yield server-sent events: first the missed ones, then new ones.

        Args:
            last: Last-Event-ID of the subscriber; without it `wanted.since` sets how far back; without both, only
                new events.
        """
        with self.listening() as queue:
            # No await between the two: what comes after this point is in the queue.
            missed = list(self._missed(wanted, last))
            yield f"retry: 1000\n{BEAT}"
            for entry in missed:
                yield self._message(entry)
            while True:
                try:
                    received = await asyncio.wait_for(queue.get(), _BEAT_S)
                except TimeoutError:
                    yield BEAT
                    continue
                if received is None:
                    return
                if wanted.has(received):
                    yield self._message(received)

    def _missed(self, wanted: Wanted, last: str | None) -> Iterator[Entry]:
        if last is None:
            return self._projection.entries(wanted) if wanted.since is not None else iter(())
        seq, life, at = _position(last)
        if life == self._life:
            return self._projection.entries(wanted, after=seq)
        since = at - _OVERLAP if at is not None else wanted.since
        return self._projection.entries(replace(wanted, since=since))

    def _message(self, entry: Entry) -> str:
        data = msgspec.json.encode(entry.numbered()).decode()
        millis = int(entry.event.time.timestamp() * 1000)
        return f"id: {entry.seq}.{self._life}.{millis}\ndata: {data}\n\n"

    def _hand_out(self, entry: Entry) -> None:
        for queue in self._queues:
            try:
                queue.put_nowait(entry)
            except asyncio.QueueFull:
                # A reader this slow would miss events silently; cut off, it comes back with its Last-Event-ID.
                _end(queue)


def _end(queue: "asyncio.Queue[Entry | None]") -> None:
    while not queue.empty():
        queue.get_nowait()
    queue.put_nowait(None)


def _position(last: str) -> tuple[int, str, datetime | None]:
    seq, _, rest = last.partition(".")
    life, _, millis = rest.partition(".")
    at = datetime.fromtimestamp(int(millis) / 1000, UTC) if millis.isdigit() and len(millis) < 15 else None
    return (int(seq) if seq.isdigit() and len(seq) < 18 else 0), life, at
