"""Positioned reading through FastStream: explicit partitions, exact offsets, no record lost to a header."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from math import inf
from time import monotonic
from typing import Any

from aiokafka import ConsumerRecord
from aiokafka import TopicPartition as Position
from aiokafka.errors import KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker, TopicPartition
from faststream.kafka.message import KafkaMessage

from penstock.errors import EvidenceExpiredError
from services.runtime.clock.watermark import Sight
from services.runtime.kafka import messages
from services.runtime.process.service import system_clock
from services.runtime.process.tasks import begin

_POLL_MS = 1000
_AFTER_ERROR_S = 0.2

log = logging.getLogger(__name__)

OnRecords = Callable[[Sequence[ConsumerRecord]], None]


class PositionedSubscriber:
    """Follows partitions from given offsets; records that are not the next of their partition are dropped.

    Args:
        gaps: whether offsets may be missing (compacted topics, readers that begin wherever retention lets them).

    Attributes:
        failure: what ended the handler; the service is dead then, for going on would skip a record.
    """

    def __init__(
        self, broker: KafkaBroker, starts: Mapping[Position, int], on_records: OnRecords, gaps: bool = False
    ) -> None:
        self._may_skip = gaps
        self._broker = broker
        self._expected = dict(starts)
        self._on_records = on_records
        self._subscriber: Any = None
        self._polled = monotonic()
        self._gaps: set[Position] = set()
        self._sought = asyncio.Event()
        self.failure: BaseException | None = None

    async def start(self) -> None:
        """Create the consumer and seek every partition to its start."""
        self._subscriber = self._broker.subscriber(
            partitions=[TopicPartition(p.topic, p.partition, declare=False) for p in self._expected],
            batch=True,
            auto_offset_reset="latest",
            ack_policy=AckPolicy.MANUAL,
            no_reply=True,
            parser=messages.parse,
            decoder=messages.decode,
        )
        self._subscriber(self._handle)
        # The stock batch poll sleeps its timeout again after every empty poll; sparse control topics would pay for it.
        self._subscriber.get_msg = self._poll
        await self._subscriber.start()
        for position, offset in self._expected.items():
            self._subscriber.consumer.seek(position, offset)
        self._sought.set()

    async def stop(self) -> None:
        """Stop following."""
        if self._subscriber is not None:
            # A consumer stopped soon after its start cancels a task of its own and lets that escape as ours.
            await asyncio.wait({begin(self._subscriber.stop())})

    def alive(self, patience: float = 30.0) -> bool:
        """Whether it polled within `patience` seconds and no record was failed on."""
        return self.failure is None and monotonic() - self._polled < patience

    def sight(self, position: Position) -> Sight:
        """Return how far a partition is read, and to where it reached when the broker last answered for it."""
        consumer, expected = self._subscriber.consumer if self._subscriber else None, self._expected[position]
        if consumer is None or position not in consumer.assignment():
            # Not connected yet, just created, or being replaced: what the broker holds is unknown until it polls.
            return Sight(expected, expected, -inf)
        try:
            end, answered_ms = consumer.highwater(position), consumer.last_poll_timestamp(position)
        except (KafkaError, AssertionError):
            # The client asserts that it has the assignment which it has just lost.
            return Sight(expected, expected, -inf)
        if end is None or answered_ms is None:
            return Sight(expected, expected, -inf)
        # The client stamps by the wall clock; an answer from the future tells that it was set back since.
        age = system_clock().timestamp() - answered_ms / 1000
        return Sight(expected, end, monotonic() - age if age >= 0 else -inf)

    async def _poll(self, consumer: Any) -> tuple[ConsumerRecord, ...]:
        await self._sought.wait()
        try:
            if self._gaps:
                await self._seek_back(consumer)
            batches = await consumer.getmany(timeout_ms=_POLL_MS)
        except KafkaError as error:
            # Left to FastStream, any Kafka error costs five seconds of sleep.
            log.warning("polling failed: %s", type(error).__name__)
            await asyncio.sleep(_AFTER_ERROR_S)
            return ()
        self._polled = monotonic()
        return tuple(chain.from_iterable(batches.values()))

    async def _seek_back(self, consumer: Any) -> None:
        # Either the consumer's own reset to the latest offset overtook our seek, or retention overtook us.
        beginnings = await consumer.beginning_offsets(list(self._gaps))
        for position in self._gaps:
            if beginnings[position] > self._expected[position]:
                error = EvidenceExpiredError(
                    f"{position.topic}-{position.partition} begins at {beginnings[position]}, wanted "
                    f"{self._expected[position]}: retention removed records that were not read"
                )
                self._fail(error)
                raise error
            consumer.seek(position, self._expected[position])
        self._gaps.clear()

    async def _handle(self, message: KafkaMessage) -> None:
        if self.failure is not None:
            return
        try:
            batch = message.raw_message
            records = batch if isinstance(batch, tuple) else (batch,)
            self._on_records([record for record in records if self._is_next(record)])
        except BaseException as error:
            # FastStream would go on with the next batch; a skipped record is worse than a dead service.
            self._fail(error)
            raise

    def _fail(self, error: BaseException) -> None:
        self.failure = error
        log.error("the follower failed and must be restarted", exc_info=error)

    def _is_next(self, record: ConsumerRecord) -> bool:
        position = Position(record.topic, record.partition)
        expected = self._expected[position]
        if record.offset < expected:
            return False
        if record.offset > expected and not self._may_skip:
            self._gaps.add(position)
            return False
        self._expected[position] = record.offset + 1
        return True


class TopicSubscriber:
    """Follows partitions like `PositionedSubscriber`, each topic by a consumer of its own.

    The client names all partitions of a consumer in every request for more, and the answer to one record does so too:
    with all topics in one consumer, a record costs by the partitions that say nothing.
    """

    def __init__(self, broker: KafkaBroker, starts: Mapping[Position, int], on_records: OnRecords) -> None:
        by_topic: dict[str, dict[Position, int]] = {}
        for position, offset in starts.items():
            by_topic.setdefault(position.topic, {})[position] = offset
        self._by_topic = {name: PositionedSubscriber(broker, some, on_records) for name, some in by_topic.items()}

    async def start(self) -> None:
        """Create the consumers and seek every partition to its start."""
        await asyncio.gather(*(one.start() for one in self._by_topic.values()))

    async def stop(self) -> None:
        """Stop following."""
        await asyncio.gather(*(one.stop() for one in self._by_topic.values()))

    def alive(self) -> bool:
        """Whether every consumer polls and no record was failed on."""
        return all(one.alive() for one in self._by_topic.values())

    def sight(self, position: Position) -> Sight:
        """Return how far a partition is read, and to where it reached when the broker last answered for it."""
        return self._by_topic[position.topic].sight(position)
