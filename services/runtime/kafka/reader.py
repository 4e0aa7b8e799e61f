"""Follows public topics for services that only project events: the console, notification, the registry of plans."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from aiokafka import ConsumerRecord, TopicPartition
from faststream.kafka import KafkaBroker

import penstock
from penstock.chain.failures import fault_of
from penstock.errors import InvalidError
from penstock.events import Event
from penstock.events.cloudevents import from_kafka
from penstock.settings import Settings
from penstock.topics import BY_NAME
from services.runtime.kafka.connection import connection, make_broker, named
from services.runtime.kafka.messages import received
from services.runtime.kafka.positions import first_and_end_offsets
from services.runtime.kafka.seals import seals_of
from services.runtime.kafka.subscriber import PositionedSubscriber

log = logging.getLogger(__name__)

Start = Literal["beginning", "end"] | Mapping[tuple[str, int], int]


@dataclass(frozen=True)
class Heard:
    """One event of a public topic: where it stood, what it says, and its headers."""

    topic: str
    partition: int
    offset: int
    event: Event
    headers: Mapping[str, bytes]


class PublicReader:
    """Reads topics in order per partition.

    Args:
        on_event: called with every event. What it raises is that event's failure; the next events follow.
        on_refused: called with a record that breaks the contract or that `on_event` failed on, and the reason.
        start: where to begin; positions that are missing from a mapping begin at the beginning.
    """

    def __init__(
        self,
        settings: Settings,
        topics: Sequence[str],
        on_event: Callable[[Heard], None],
        start: Start = "beginning",
        on_refused: Callable[[ConsumerRecord, str], None] | None = None,
    ) -> None:
        self._settings = settings
        self._seals = seals_of(settings)
        self._names = {named(settings, topic): topic for topic in topics}
        self._on_event = on_event
        self._on_refused = on_refused
        self._start = start
        self._broker: KafkaBroker | None = None
        self._subscriber: PositionedSubscriber | None = None
        self._ends: dict[TopicPartition, int] = {}
        self._positions: dict[TopicPartition, int] = {}

    async def start(self) -> None:
        """Begin to follow."""
        partitions = [TopicPartition(name, p) for name, t in self._names.items() for p in range(BY_NAME[t].partitions)]
        firsts, self._ends = await first_and_end_offsets(connection(self._settings), partitions)
        self._positions = {partition: self._first(partition, firsts) for partition in partitions}
        self._broker = make_broker(self._settings)
        self._subscriber = PositionedSubscriber(self._broker, self._positions, self._on_records, gaps=True)
        await self._broker.start()
        await self._subscriber.start()

    async def stop(self) -> None:
        """Stop following."""
        if self._subscriber is not None:
            await self._subscriber.stop()
        if self._broker is not None:
            await self._broker.stop()

    def caught_up(self) -> bool:
        """Whether everything in the topics at the start has been read."""
        return self._subscriber is not None and all(self._positions[p] >= end for p, end in self._ends.items())

    def alive(self) -> bool:
        """Whether the poll loop moves."""
        return self._subscriber is None or self._subscriber.alive()

    def _first(self, partition: TopicPartition, firsts: Mapping[TopicPartition, int]) -> int:
        if self._start == "end":
            return self._ends[partition]
        if isinstance(self._start, str):
            return firsts[partition]
        asked = self._start.get((self._names[partition.topic], partition.partition), 0)
        return max(asked, firsts[partition])

    def _on_records(self, records: Sequence[ConsumerRecord]) -> None:
        for record in records:
            self._positions[TopicPartition(record.topic, record.partition)] = record.offset + 1
            if record.value is None:
                continue
            if (problem := self._seals.problem(record)) is not None:
                log.error("%s-%d@%d does not count: %s", record.topic, record.partition, record.offset, problem)
                continue
            try:
                event = received(from_kafka(record.value, record.headers), record)
                headers = {name: value for name, value in record.headers if value is not None}
                self._on_event(Heard(self._names[record.topic], record.partition, record.offset, event, headers))
            except InvalidError as error:
                self._refuse(record, str(error))
            except Exception as error:
                log.exception("%s-%d at offset %d", record.topic, record.partition, record.offset)
                self._refuse(record, fault_of(error, penstock.__version__))

    def _refuse(self, record: ConsumerRecord, reason: str) -> None:
        if self._on_refused is not None:
            self._on_refused(record, reason)
