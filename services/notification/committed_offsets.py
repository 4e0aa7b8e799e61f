"""How far notification has read the public topics, kept as the offsets of a consumer group of one reader."""

from collections.abc import Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition

from penstock.settings import Settings
from penstock.topics import BY_NAME
from services.notification.low_water_marks import Place
from services.runtime.kafka.connection import connection, named


class CommittedOffsets:
    """Reads and commits positions."""

    def __init__(self, settings: Settings, topics: tuple[str, ...]) -> None:
        self._settings = settings
        self._places = {
            TopicPartition(named(settings, topic), partition): (topic, partition)
            for topic in topics
            for partition in range(BY_NAME[topic].partitions)
        }
        self._consumer: AIOKafkaConsumer | None = None
        self._committed: dict[Place, int] = {}

    async def start(self) -> dict[Place, int]:
        """Return where to start; partitions never read before start at their end, and are committed there at once."""
        consumer = AIOKafkaConsumer(
            **connection(self._settings),
            group_id=named(self._settings, "penstock-notification"),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        await consumer.start()
        self._consumer = consumer
        partitions = list(self._places)
        consumer.assign(partitions)
        # Only its offsets are wanted: a paused partition is never fetched.
        consumer.pause(*partitions)
        ends = await consumer.end_offsets(partitions)
        starts: dict[Place, int] = {}
        for partition, place in self._places.items():
            committed = await consumer.committed(partition)
            starts[place] = ends[partition] if committed is None else committed
            if committed is not None:
                self._committed[place] = committed
        await self.commit(starts)
        return starts

    async def commit(self, marks: Mapping[Place, int], again: bool = False) -> None:
        """Commit the marks that moved, or all of them `again`: brokers forget offsets a week after their last commit.

        Raises:
            KafkaError: not now; the next call commits them.
        """
        if self._consumer is None:
            return
        moved = {
            partition: marks[place]
            for partition, place in self._places.items()
            if place in marks and (again or marks[place] != self._committed.get(place))
        }
        if moved:
            await self._consumer.commit(moved)
            self._committed |= {self._places[partition]: offset for partition, offset in moved.items()}

    async def stop(self) -> None:
        """Disconnect."""
        if self._consumer is not None:
            await self._consumer.stop()
