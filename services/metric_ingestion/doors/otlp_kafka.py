"""OTLP on Kafka, as the OpenTelemetry Collector writes it: any key, no headers; re-keyed on the way through."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaError

import penstock
from penstock.chain.failures import fault_of
from penstock.errors import InvalidError, OversizeError, UnavailableError
from services.metric_ingestion.doors.frame_publisher import FramePublisher
from services.metric_ingestion.doors.otlp_messages import parse
from services.metric_ingestion.selection.select import Selector
from services.runtime.kafka.appender import Appender
from services.runtime.kafka.dead_letters import dead_letter

_AFTER_ERROR_S = 0.5

log = logging.getLogger(__name__)


class Intake:
    """Takes polls of `otlp_metrics`: each record becomes frames or a dead letter before the poll is committed."""

    def __init__(
        self,
        selector: Callable[[], Selector],
        publisher: FramePublisher,
        letters: Appender,
        now: Callable[[], int],
        commit: Callable[[], Awaitable[None]],
    ) -> None:
        self._selector = selector
        self._publisher = publisher
        self._letters = letters
        self._now = now
        self._commit = commit

    async def take(self, records: Sequence[ConsumerRecord]) -> None:
        """Take the records of one poll; returns when none of them can be lost any more."""
        for record in records:
            try:
                request = parse(record.value or b"", json=False)
                selection = self._selector().select(request, self._now())
            except InvalidError as error:
                await dead_letter(self._letters, "metric_ingestion", record, str(error))
                continue
            except Exception as error:
                log.exception("%s-%d at offset %d", record.topic, record.partition, record.offset)
                await dead_letter(self._letters, "metric_ingestion", record, fault_of(error, penstock.__version__))
                continue
            if selection.rejected:
                reason = f"{selection.rejected} points left out: {'; '.join(selection.problems)}"
                await dead_letter(self._letters, "metric_ingestion", record, reason)
            while True:
                try:
                    await self._publisher.publish(selection.frames)
                    break
                except OversizeError as error:
                    await dead_letter(self._letters, "metric_ingestion", record, str(error))
                    break
                except UnavailableError as error:
                    log.warning("otlp_metrics waits: %s", error)
                    await asyncio.sleep(_AFTER_ERROR_S)
        try:
            await self._commit()
        except KafkaError as error:
            # The records come again, and their points are recognised as repeats.
            log.warning("otlp_metrics: not committed: %s", type(error).__name__)
