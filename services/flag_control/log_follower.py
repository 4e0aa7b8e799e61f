"""Follows the flag log and reconnects for as long as Kafka is away: the service starts without it."""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import Protocol

from penstock.chain import Document, Item, Record
from penstock.partitioner import partition_of
from penstock.settings import Settings
from services.flag_control.decide import decide
from services.flag_control.flag.skipped_events import still_due
from services.runtime.decider.shell import DeciderShell, Spec
from services.runtime.kafka.appender import Appender
from services.runtime.kafka.connection import ensure_topics
from services.runtime.kafka.waiting import stop_what_started, until_available
from services.runtime.process.service import Clock, Parked
from services.runtime.process.tasks import begin

ROLLOUT_LOG = "rollout-log"
_AWAY_AFTER_SECONDS = 2.0

log = logging.getLogger(__name__)


class Observer(Protocol):
    """Receives what the log accepts."""

    def restarted(self) -> None:
        """The log is read from the start again: nothing of it counts until `restored`."""
        ...

    def received(self, item: Item) -> None:
        """An input arrived, and is not decided yet."""
        ...

    def restored(self, documents: Mapping[str, Document]) -> None:
        """The log is folded to its end: `documents` by target are all flags."""
        ...

    def followed(self) -> None:
        """The inputs are followed too; called once."""
        ...

    def accepted(self, target: str, record: Record, document: Document) -> None:
        """A record counts, after the restore."""
        ...


class FlagLog:
    """The decider's shell, started again until Kafka is there."""

    name = "flag_control's log"

    def __init__(self, settings: Settings, appender: Appender, clock: Clock) -> None:
        """Take the appender that connects and disconnects with the log."""
        self._settings = settings
        self._appender = appender
        self._clock = clock
        self._shell: DeciderShell | None = None
        self._task: asyncio.Task[None] | None = None
        self._away = asyncio.Event()
        self._reason = ""

    async def start(self, observer: Observer) -> bool:
        """Return True once the log is followed, False as soon as Kafka proves to be away: then it keeps trying.

        Raises:
            CorruptError: the log was damaged; waiting for Kafka would not help.
        """
        self._task = begin(self._run(observer))
        away = begin(self._away.wait())
        await asyncio.wait({self._task, away}, return_when=asyncio.FIRST_COMPLETED)
        away.cancel()
        if not self._task.done():
            return False
        await self._task
        return True

    async def stop(self) -> None:
        """Stop following."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._shell is not None:
            await self._shell.stop()

    def ready(self) -> bool:
        """Whether the log is folded, and requests are accepted."""
        return self._shell is not None and self._shell.ready()

    def alive(self) -> bool:
        """Whether it is followed, or will be as soon as Kafka is there."""
        task = self._task
        failed = task is not None and task.done() and not task.cancelled() and task.exception() is not None
        return not failed and (self._shell is None or self._shell.alive())

    def parked(self) -> Iterable[Parked]:
        """Return the targets that are held back."""
        return self._shell.parked() if self._shell is not None else ()

    def document(self, target: str) -> Document:
        """Return the accepted state of a target, empty if there is none."""
        return self._shell.document(target) if self._shell is not None else {}

    def covers(self, target: str, source: str, offset: int) -> bool:
        """Whether the accepted log has decided the record at that offset of an input."""
        position = self._shell.cursor(partition_of(target)).get(source) if self._shell is not None else None
        return position is not None and position.next > offset

    async def _run(self, observer: Observer) -> None:
        await until_available(lambda: self._attempt(observer), self._give_up)
        observer.followed()

    async def _attempt(self, observer: Observer) -> None:
        slow = asyncio.get_running_loop().call_later(_AWAY_AFTER_SECONDS, self._away.set)
        try:
            # Asked here first: the attempt is slow only as long as no broker answers, not while a long log is read.
            await ensure_topics(self._settings)
        finally:
            slow.cancel()
        observer.restarted()
        # A new one each time: a shell that started may have read half of the log, which is read from the start again.
        self._shell = DeciderShell(_spec(observer), self._settings, self._clock)
        await self._appender.start()
        await self._shell.start()

    async def _give_up(self, reason: str) -> None:
        self._away.set()
        if reason != self._reason:
            self._reason = reason
            log.warning("the flag log is not followed yet: %s", reason)
        shell, self._shell = self._shell, None
        if shell is not None:
            await stop_what_started(shell)
            await stop_what_started(self._appender)


def _spec(observer: Observer) -> Spec:
    return Spec(
        "flag_control",
        decide,
        plain=("commands",),
        chained=(ROLLOUT_LOG,),
        received=observer.received,
        accepted=observer.accepted,
        restored=observer.restored,
        still_due=still_due,
    )
