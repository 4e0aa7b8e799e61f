"""Background work of a service: a failure is logged at once, and the service is not alive, so that it is restarted."""

import asyncio
import logging
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

log = logging.getLogger(__name__)

Result = TypeVar("Result")


def begin(work: Coroutine[Any, Any, Result]) -> "asyncio.Task[Result]":
    """Start work whose caller awaits its task, or reads its outcome: for all other work there is `Tasks`."""
    return asyncio.create_task(work)  # noqa: TID251 - the one place


class Tasks:
    """Work that must not end unnoticed.

    Attributes:
        failure: the first thing that failed.
    """

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._running: set[asyncio.Task[None]] = set()
        self.failure: BaseException | None = None

    def spawn(self, work: Coroutine[Any, Any, None], lasting: bool = False) -> None:
        """Run `work`; with `lasting`, its end is a failure, whatever it ends with."""
        task = begin(work)
        self._running.add(task)
        task.add_done_callback(lambda done: self._ended(done, lasting))

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Count a failure in this block as one of the work: for callbacks, whose errors the event loop only logs."""
        try:
            yield
        except BaseException as error:
            self._fail(error)
            raise

    def alive(self) -> bool:
        """Whether nothing has failed."""
        return self.failure is None

    async def stop(self, patience: float = 0.0) -> None:
        """Give what still runs `patience` seconds to end, then cancel it and wait for that."""
        if patience and self._running:
            await asyncio.wait(set(self._running), timeout=patience)
        running = set(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _ended(self, task: "asyncio.Task[None]", lasting: bool) -> None:
        self._running.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self._fail(error)
        elif lasting:
            self._fail(RuntimeError("a loop that should last has ended"))

    def _fail(self, error: BaseException) -> None:
        if self.failure is None:
            self.failure = error
            log.error("%s failed and must be restarted", self._owner, exc_info=error)
