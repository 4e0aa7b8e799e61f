"""Parsing beside the event loop: a few threads, a short queue, a time limit. Nobody else waits for one large input."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from penstock.errors import UnavailableError

P = ParamSpec("P")
R = TypeVar("R")


class Worker:
    """Runs pure functions in threads.

    A thread cannot be stopped, so what runs here must be bounded by its input (size, depth, tokens); the time limit
    answers the client, and the place stays taken until the thread is done.

    Args:
        threads: how many run at once; waiting: how many more may wait.
        seconds: until a caller is turned away.
    """

    def __init__(self, name: str, threads: int = 2, waiting: int = 16, seconds: float = 5.0) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._places = threading.BoundedSemaphore(threads + waiting)
        self._seconds = seconds

    async def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Return what the function returns, or raise what it raises.

        Raises:
            UnavailableError: too many inputs wait already, or this one takes too long.
        """
        if not self._places.acquire(blocking=False):
            raise UnavailableError("too many large requests are being read; try again in a moment")
        work: Future[R] = self._pool.submit(function, *args, **kwargs)
        work.add_done_callback(lambda _: self._places.release())
        try:
            async with asyncio.timeout(self._seconds):
                return await asyncio.wrap_future(work)
        except TimeoutError:
            raise UnavailableError(
                f"the request could not be read within {self._seconds:g} seconds; send less at once, or try again"
            ) from None
