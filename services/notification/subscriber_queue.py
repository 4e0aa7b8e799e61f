"""The queue of one subscriber and its workers: a slow subscriber delays nobody else."""

import asyncio
import contextlib
import heapq
import itertools
from collections.abc import Awaitable, Callable
from datetime import datetime

from services.notification.job import Job
from services.runtime.process.tasks import Tasks

WORKERS = 4
MOST_WAITING = 1000
"""First attempts that may wait; further events count as failed once, untried, and are retried on schedule."""

_LONGEST_SLEEP = 60.0


class SubscriberQueue:
    """Jobs by due time.

    Args:
        work: makes one attempt and returns the next one's job, None when there is none.
    """

    def __init__(self, clock: Callable[[], datetime], work: Callable[[Job], Awaitable[Job | None]]) -> None:
        self._clock = clock
        self._work = work
        self._heap: list[tuple[datetime, int, Job]] = []
        self._order = itertools.count()
        self._wake = asyncio.Event()
        self._first = 0
        self._workers = Tasks("notification, delivering,")

    def start(self) -> None:
        """Start the workers."""
        for _ in range(WORKERS):
            self._workers.spawn(self._run(), lasting=True)

    async def stop(self) -> None:
        """Stop; what waits is on record and is queued again at the next start."""
        await self._workers.stop()

    def alive(self) -> bool:
        """Whether its workers run."""
        return self._workers.alive()

    def is_full(self) -> bool:
        """Whether so many first attempts wait that a further one is not worth waiting for."""
        return self._first >= MOST_WAITING

    def offer(self, job: Job) -> None:
        """Queue a job; returns at once."""
        self._first += job.attempt == 1
        heapq.heappush(self._heap, (job.due, next(self._order), job))
        self._wake.set()

    async def _run(self) -> None:
        while True:
            job = await self._next()
            following = await self._work(job)
            if following is not None:
                self.offer(following)

    async def _next(self) -> Job:
        while True:
            sleep = _LONGEST_SLEEP
            if self._heap:
                sleep = min(sleep, (self._heap[0][0] - self._clock()).total_seconds())
            if sleep <= 0:
                _, _, job = heapq.heappop(self._heap)
                self._first -= job.attempt == 1
                return job
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), sleep)
