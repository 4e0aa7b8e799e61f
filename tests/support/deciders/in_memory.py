"""Topics without brokers: what services append stands here, in order, for a test to read or to hand back."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka import ConsumerRecord
from aiokafka.structs import RecordMetadata

from penstock.errors import AppendError
from penstock.events import Event
from penstock.events.cloudevents import to_kafka
from penstock.settings import Settings
from services.runtime.kafka.appender import Appender


@dataclass
class Topics:
    """All records by topic and partition; `refused` names the topics that take nothing now."""

    records: dict[tuple[str, int], list[ConsumerRecord]] = field(default_factory=lambda: defaultdict(list))
    refused: set[str] = field(default_factory=set)

    def put(
        self, topic: str, partition: int, key: bytes | None, value: bytes, headers: Sequence[tuple[str, bytes]] = ()
    ) -> ConsumerRecord:
        """Append a record and return it as a consumer reads it."""
        place = self.records[(topic, partition)]
        record = ConsumerRecord(topic, partition, len(place), 1, 1, key, value, None, 0, len(value), tuple(headers))
        place.append(record)
        return record

    def letters(self) -> list[dict[str, str]]:
        """Return the headers of all dead letters."""
        found = [record for (topic, _), some in self.records.items() if topic == "dead-letters" for record in some]
        return [{name: value.decode() for name, value in record.headers} for record in found]


class Memory(Appender):
    """An appender to such topics."""

    def __init__(self, settings: Settings, topics: Topics) -> None:
        super().__init__(settings)
        self.topics = topics

    def alive(self) -> bool:
        """There is no sender that could stand still."""
        return True

    async def append(
        self,
        topic: str,
        partition: int | None,
        key: bytes | None,
        value: bytes,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> "asyncio.Future[RecordMetadata]":
        """Append, or raise AppendError where the topic takes nothing."""
        if topic in self.topics.refused:
            raise AppendError(f"{topic} takes nothing")
        record = self.topics.put(topic, partition or 0, key, value, headers)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        future.set_result(RecordMetadata(topic, record.partition, None, record.offset, 1, 1, 0))
        return future


def record_of(event: Event, topic: str = "commands", partition: int = 0, offset: int = 0) -> ConsumerRecord:
    """Return the record of an event as a consumer reads it."""
    key, value, headers = to_kafka(event)
    return ConsumerRecord(topic, partition, offset, 1, 1, key, value, None, 0, len(value), tuple(headers))
