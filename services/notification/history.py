"""Reads the past of the topics: the deliveries of the last days, announced plans, and single events by position."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from penstock.events import Event
from penstock.events.cloudevents import from_kafka
from penstock.settings import Settings
from penstock.topics import BY_NAME
from services.notification.job import Position
from services.notification.recorded import Deliverable, event_of
from services.runtime.kafka.connection import connection, named, read_span
from services.runtime.kafka.seals import seals_of

_FETCH_MS = 10_000

log = logging.getLogger(__name__)


async def read_since(
    settings: Settings, topic: str, since: datetime, wanted: Callable[[bytes], bool], on_event: Callable[[Event], None]
) -> None:
    """Hand every event of a topic that was written since then, and whose `ce_type` is wanted, to `on_event`."""
    partitions = [TopicPartition(named(settings, topic), number) for number in range(BY_NAME[topic].partitions)]
    consumer = AIOKafkaConsumer(**connection(settings), enable_auto_commit=False)
    await consumer.start()
    try:
        moment = int(since.timestamp() * 1000)
        found = await consumer.offsets_for_times(dict.fromkeys(partitions, moment))
    finally:
        await consumer.stop()

    seals = seals_of(settings)

    def read(record: ConsumerRecord) -> None:
        kind = next((value for name, value in record.headers if name == "ce_type"), None)
        if record.value is None or not wanted(kind or b""):
            return
        if (problem := seals.problem(record)) is not None:
            log.warning("%s-%d at offset %d is skipped: %s", topic, record.partition, record.offset, problem)
            return
        try:
            on_event(from_kafka(record.value, record.headers))
        except Exception as error:
            # It was dead-lettered when it was first read, and cannot be folded.
            log.warning("%s-%d at offset %d is skipped: %s", topic, record.partition, record.offset, error)

    starts = {partition: place.offset for partition, place in found.items() if place is not None}
    if starts:
        await read_span(settings, starts, read)


class Library:
    """Reads single events again."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._consumer: AIOKafkaConsumer | None = None
        self._turn = asyncio.Lock()

    async def fetch(self, position: Position) -> Deliverable | None:
        """Return the event at that position, None where retention has removed it.

        Raises:
            KafkaError: it cannot be read now; InvalidError: it breaks the contract.
        """
        async with self._turn:
            if self._consumer is None:
                consumer = AIOKafkaConsumer(**connection(self._settings), enable_auto_commit=False)
                await consumer.start()
                self._consumer = consumer
            partition = TopicPartition(named(self._settings, position.topic), position.partition)
            self._consumer.assign([partition])
            first = (await self._consumer.beginning_offsets([partition]))[partition]
            if position.offset < first:
                return None
            self._consumer.seek(partition, position.offset)
            records = (await self._consumer.getmany(partition, timeout_ms=_FETCH_MS, max_records=1)).get(partition)
            if not records:
                raise KafkaError("no record arrived in time")
        record = records[0]
        if record.value is None or record.offset != position.offset:
            return None
        return event_of(record)

    async def stop(self) -> None:
        """Disconnect."""
        if self._consumer is not None:
            await self._consumer.stop()
