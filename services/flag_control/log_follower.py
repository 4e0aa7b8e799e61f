"""The flag log followed, however long Kafka stays away: the start of the service never depends on it."""

import asyncio
import logging
from collections.abc import Callable, Iterable

from penstock.chain import Document
from penstock.events import Event
from penstock.partitioner import partition_of
from penstock.settings import Settings
from services.runtime.decider.shell import DeciderShell
from services.runtime.kafka.appender import Appender
from services.runtime.kafka.connection import ensure_topics
from services.runtime.kafka.waiting import stop_what_started, until_available
from services.runtime.process.service import Parked
from services.runtime.process.tasks import begin

_AWAY_AFTER_SECONDS = 2.0

log = logging.getLogger(__name__)


class FlagLog:
    """The decider's shell, started again until Kafka is there."""

    name = "flag_control's log"

    def __init__(
        self, settings: Settings, make: Callable[[], DeciderShell], appender: Appender, followed: Callable[[], None]
    ) -> None:
        """Take what makes a shell, an appender to connect beside it, and who is told once, when both stand."""
        self._settings = settings
        self._make = make
        self._appender = appender
        self._followed = followed
        self._shell = make()
        self._task: asyncio.Task[None] | None = None
        self._away = asyncio.Event()
        self._reason = ""

    async def start(self) -> bool:
        """Return True once the log is followed, False as soon as Kafka proves to be away: then it goes on trying.

        Raises:
            CorruptError: the log was damaged; waiting for Kafka would not help.
        """
        self._task = begin(self._run())
        away = begin(self._away.wait())
        await asyncio.wait({self._task, away}, return_when=asyncio.FIRST_COMPLETED)
        away.cancel()
        if not self._task.done():
            return False
        await self._task
        return True

    async def stop(self) -> None:
        """Follow no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._shell.stop()

    def ready(self) -> bool:
        """Whether the log is folded, and requests are taken."""
        return self._shell.ready()

    def alive(self) -> bool:
        """Whether it is followed, or will be as soon as Kafka is there."""
        task = self._task
        failed = task is not None and task.done() and not task.cancelled() and task.exception() is not None
        return not failed and self._shell.alive()

    def parked(self) -> Iterable[Parked]:
        """Return the targets that are held back."""
        return self._shell.parked()

    def document(self, target: str) -> Document:
        """Return the accepted state of a target, empty if there is none."""
        return self._shell.document(target)

    def observe(self, event: Event) -> None:
        """Take a request that this copy was asked."""
        self._shell.observe(event)

    def covers(self, target: str, source: str, offset: int) -> bool:
        """Whether the accepted log has decided what stands at that offset of an input."""
        position = self._shell.cursor(partition_of(target)).get(source)
        return position is not None and position.next > offset

    async def _run(self) -> None:
        await until_available(self._attempt, self._replace)
        self._followed()

    async def _attempt(self) -> None:
        slow = asyncio.get_running_loop().call_later(_AWAY_AFTER_SECONDS, self._away.set)
        try:
            # Asked here first: the attempt is slow only as long as no broker answers, not while a long log is read.
            await ensure_topics(self._settings)
        finally:
            slow.cancel()
        await self._appender.start()
        await self._shell.start()

    async def _replace(self, reason: str) -> None:
        self._away.set()
        if reason != self._reason:
            self._reason = reason
            log.warning("the flag log is not followed yet: %s", reason)
        # A shell that started may have read half of the log: the next attempt reads from the start.
        shell, self._shell = self._shell, self._make()
        await stop_what_started(shell)
        await stop_what_started(self._appender)
