"""A consumer group member that reads whole polls without sleeping in between, and reports its assignments."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import chain
from time import monotonic
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import IllegalStateError, KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.message import KafkaMessage

from services.runtime.kafka import messages

_POLL_MS = 1000
_AFTER_ERROR_S = 0.2
_SESSION_MS = 6000
_HEARTBEAT_MS = 1500

log = logging.getLogger(__name__)

OnRecords = Callable[[Sequence[ConsumerRecord]], Awaitable[None]]
OnPartitions = Callable[[Iterable[int]], None]


class GroupPoller(ConsumerRebalanceListener):  # type: ignore[misc]
    """Reads one topic in a group, through FastStream.

    Args:
        member: static membership: after a restart the same name gets its partitions again, without a rebalance.
        assigned, revoked: called with partitions. With `assigned`, new ones stay paused until `resume`; without it, the
            poller continues at the committed offset.

    Attributes:
        failure: the error that ended the handler; the service is then not alive.
    """

    def __init__(
        self,
        broker: KafkaBroker,
        topic: str,
        group: str,
        member: str,
        on_records: OnRecords,
        assigned: OnPartitions | None = None,
        revoked: OnPartitions | None = None,
    ) -> None:
        self._topic = topic
        self._on_records = on_records
        self._assigned = assigned
        self._revoked = revoked
        self._polled = monotonic()
        self._positions: dict[TopicPartition, int] = {}
        self.failure: BaseException | None = None
        subscriber: Any = broker.subscriber(
            topic,
            batch=True,
            group_id=group,
            group_instance_id=member,
            auto_offset_reset="earliest",
            ack_policy=AckPolicy.MANUAL,
            partition_assignment_strategy=[RangePartitionAssignor],
            session_timeout_ms=_SESSION_MS,
            heartbeat_interval_ms=_HEARTBEAT_MS,
            no_reply=True,
            listener=self,
            parser=messages.parse,
            decoder=messages.decode,
        )
        subscriber(self._handle)
        # The stock batch poll sleeps its timeout again after every empty poll: a second lost at every closing.
        subscriber.get_msg = self._poll
        self._subscriber = subscriber

    async def start(self) -> None:
        """Join the group."""
        await self._subscriber.start()

    async def stop(self) -> None:
        """Leave the group."""
        await self._subscriber.stop()

    def alive(self, patience: float = 30.0) -> bool:
        """Whether it polled within `patience` seconds and no record was failed on."""
        return self.failure is None and monotonic() - self._polled < patience

    def unread(self) -> set[int]:
        """Return the partitions that are known to hold records beyond the newest poll."""
        assigned = self._consumer.assignment() if self._subscriber.consumer is not None else ()
        return {
            place.partition
            for place in assigned
            if place in self._positions and (self._consumer.highwater(place) or 0) > self._positions[place]
        }

    def pause(self, partition: int) -> None:
        """Read nothing more of a partition until `resume`."""
        self._consumer.pause(TopicPartition(self._topic, partition))

    def resume(self, partition: int, offset: int) -> bool:
        """Read a partition from this offset on; return whether it is still assigned."""
        position, consumer = TopicPartition(self._topic, partition), self._subscriber.consumer
        if consumer is None or position not in consumer.assignment():
            return False
        consumer.seek(position, offset)
        consumer.resume(position)
        return True

    async def ends(self, partitions: Iterable[int]) -> dict[int, int]:
        """Return the ends that partitions have now, by asking Kafka."""
        positions = [TopicPartition(self._topic, partition) for partition in partitions]
        return {position.partition: end for position, end in (await self._consumer.end_offsets(positions)).items()}

    async def commit(self) -> None:
        """Commit what was handed to `on_records`."""
        await self._consumer.commit()

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Pause what is new: its owner must be restored first."""
        partitions = [position.partition for position in assigned]
        if self._assigned is not None:
            for partition in partitions:
                self.pause(partition)
            self._assigned(partitions)

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Report partitions that are no longer ours."""
        if self._revoked is not None:
            self._revoked([position.partition for position in revoked])

    @property
    def _consumer(self) -> AIOKafkaConsumer:
        consumer: AIOKafkaConsumer | None = self._subscriber.consumer
        if consumer is None:
            raise IllegalStateError("the consumer is being replaced")
        return consumer

    async def _poll(self, consumer: AIOKafkaConsumer) -> tuple[ConsumerRecord, ...]:
        try:
            batches = await consumer.getmany(timeout_ms=_POLL_MS)
        except KafkaError as error:
            # Left to FastStream, any Kafka error costs five seconds of sleep.
            log.warning("polling failed: %s", type(error).__name__)
            await asyncio.sleep(_AFTER_ERROR_S)
            return ()
        self._polled = monotonic()
        for place, records in batches.items():
            self._positions[place] = records[-1].offset + 1
        return tuple(chain.from_iterable(batches.values()))

    async def _handle(self, message: KafkaMessage) -> None:
        if self.failure is not None:
            return
        try:
            records: Any = message.raw_message
            await self._on_records(records)
        except BaseException as error:
            # FastStream would log and continue with the next batch; a skipped record is worse than a stopped service.
            self.failure = error
            raise
