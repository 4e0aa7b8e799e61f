"""What stands on topics already: the deliveries of the last days, announced plans, and single events by position."""

import asyncio
from collections.abc import Callable
from datetime import datetime

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from penstock.errors import InvalidError
from penstock.events import Event
from penstock.events.cloudevents import from_kafka
from penstock.settings import Settings
from penstock.topics import BY_NAME
from services.notification.job import Position
from services.runtime.kafka.connection import connection, named, read_span

_FETCH_MS = 10_000


async def read_since(
    settings: Settings, topic: str, since: datetime, wanted: Callable[[bytes], bool], take: Callable[[Event], None]
) -> None:
    """Hand every event of a topic that was written since then, and whose `ce_type` is wanted, to `take`."""
    partitions = [TopicPartition(named(settings, topic), number) for number in range(BY_NAME[topic].partitions)]
    consumer = AIOKafkaConsumer(**connection(settings), enable_auto_commit=False)
    await consumer.start()
    try:
        moment = int(since.timestamp() * 1000)
        found = await consumer.offsets_for_times(dict.fromkeys(partitions, moment))
    finally:
        await consumer.stop()

    def read(record: ConsumerRecord) -> None:
        kind = next((value for name, value in record.headers if name == "ce_type"), None)
        if record.value is None or not wanted(kind or b""):
            return
        try:
            take(from_kafka(record.value, record.headers))
        except InvalidError:
            # Whoever follows that topic has dead-lettered it; it cannot be folded.
            return

    starts = {partition: place.offset for partition, place in found.items() if place is not None}
    if starts:
        await read_span(settings, starts, read)


class Library:
    """Reads single events again."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._consumer: AIOKafkaConsumer | None = None
        self._turn = asyncio.Lock()

    async def fetch(self, position: Position) -> Event | None:
        """Return the event that stands there, None where retention has removed it.

        Raises:
            KafkaError: it cannot be read now.
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
                raise KafkaError("no record came in time")
        record = records[0]
        if record.value is None or record.offset != position.offset:
            return None
        return from_kafka(record.value, record.headers)

    async def stop(self) -> None:
        """Disconnect."""
        if self._consumer is not None:
            await self._consumer.stop()
