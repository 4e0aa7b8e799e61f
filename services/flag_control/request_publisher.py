"""Publishes flag requests on `commands`, where auditors read them, and flag control itself to decide them."""

import asyncio
import logging
from collections.abc import Callable, Collection

from penstock.errors import AppendError, OversizeError
from penstock.events import FlagRequest
from penstock.events.cloudevents import to_kafka
from penstock.partitioner import partition_of
from services.runtime.kafka.appender import Appender
from services.runtime.process.tasks import Tasks

TOPIC = "commands"
_AGAIN_SECONDS = 0.5

log = logging.getLogger(__name__)


class RequestPublisher:
    """Publishes requests in order, each until Kafka acknowledges it; the id is the same at every attempt.

    A request that is on the topic twice is decided once: the flag remembers the ids of its latest requests and kills.
    """

    def __init__(self, appender: Appender, recorded: Callable[[str], Collection[str]]) -> None:
        """Take the appender, and what gives the ids of the requests that the accepted log of a target holds."""
        self._appender = appender
        self._recorded = recorded
        self._queue: asyncio.Queue[FlagRequest] = asyncio.Queue()
        self._tasks = Tasks("flag_control, publishing requests,")

    def start(self) -> None:
        """Start publishing."""
        self._tasks.spawn(self._run(), lasting=True)

    async def stop(self) -> None:
        """Stop; kills that were not published are in the spool, and published at the next start."""
        await self._tasks.stop()

    def alive(self) -> bool:
        """Whether requests are published, or wait for Kafka."""
        return self._tasks.alive()

    def submit(self, request: FlagRequest, after: float = 0.0) -> None:
        """Publish a request, unless the log has it by then; returns at once.

        `after` seconds: another instance was asked, and publishes it too unless it dies.
        """
        if after:
            self._tasks.spawn(self._submit_later(request, after))
        else:
            self._queue.put_nowait(request)

    async def _submit_later(self, request: FlagRequest, after: float) -> None:
        await asyncio.sleep(after)
        self._queue.put_nowait(request)

    async def _run(self) -> None:
        while True:
            await self._publish(await self._queue.get())

    async def _publish(self, request: FlagRequest) -> None:
        key, value, headers = to_kafka(request)
        failed = False
        while request.id not in self._recorded(request.target):
            try:
                await self._appender.append_and_wait(TOPIC, partition_of(request.target), key, value, headers)
            except OversizeError as error:
                log.error("%s of %s cannot be published: %s", request.type, request.target, error)
            except (AppendError, OSError) as error:
                if not failed:
                    log.warning("%s of %s waits for Kafka: %s", request.type, request.target, error)
                failed = True
                await asyncio.sleep(_AGAIN_SECONDS)
                continue
            return
