"""Says accepted decisions on their public topics: duplicates are possible after a crash, phantoms are not."""

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from aiokafka.structs import RecordMetadata

from penstock.chain import Accepted, Input
from penstock.errors import AppendError, InvalidError, OversizeError
from penstock.events import Event, PlanRegistered, from_json
from penstock.events.cloudevents import to_kafka
from penstock.settings import Settings
from penstock.topics import PARTITIONS, TOPICS, Topic, carriers_of
from services.runtime.kafka.appender import Appender
from services.runtime.kafka.connection import connection, named, read_span
from services.runtime.kafka.dead_letters import origin_headers
from services.runtime.kafka.seals import seals_of
from services.runtime.process.tasks import Tasks

POSITION_HEADER = "penstock-position"
"""Where the decision stands: `partition:offset:index` in its private log."""

_AFTER_ERROR_S = 0.3
_TRIES_BEFORE_ERROR = 30

log = logging.getLogger(__name__)

Place = tuple[int, int]
"""Offset in the log and index of the event in its record."""


@dataclass
class _Lane:
    """One partition's decisions on their way."""

    queue: deque[tuple[Accepted, Mapping[str, bytes]]] = field(default_factory=deque)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    busy: bool = False


class Republisher:
    """Publishes accepted records in order, partition by partition, and continues after the last position found."""

    def __init__(self, settings: Settings, appender: Appender, log_topic: Topic) -> None:
        self._settings = settings
        self._appender = appender
        self._log = log_topic
        self._said: dict[tuple[str, int], Place] = {}
        self._lanes = [_Lane() for _ in range(PARTITIONS)]
        self._tasks = Tasks(f"{log_topic.producer}, saying decisions,")

    async def start(self) -> None:
        """Find the last position that each public topic holds, then publish what is offered."""
        for topic in TOPICS:
            if topic.producer == self._log.producer and topic.carries:
                await self._find_positions(topic.name)
        for partition in range(PARTITIONS):
            self._tasks.spawn(self._run(partition), lasting=True)

    async def stop(self) -> None:
        """Stop; what was not said yet is said at the next start."""
        await self._tasks.stop()

    def alive(self) -> bool:
        """Whether every lane runs; one that cannot say its decision tries again for ever, and its log shows it."""
        return self._tasks.alive()

    def offer(self, partition: int, accepted: Accepted, headers: Mapping[str, bytes]) -> None:
        """Take an accepted record; returns at once."""
        record = accepted.record
        if record is not None and (record.events or record.error):
            lane = self._lanes[partition]
            lane.queue.append((accepted, headers))
            lane.wake.set()

    def idle(self, partition: int) -> bool:
        """Whether everything offered of this partition has been said."""
        lane = self._lanes[partition]
        return not lane.queue and not lane.busy

    async def _find_positions(self, topic: str) -> None:
        seals = seals_of(self._settings)

        def note(record: ConsumerRecord) -> None:
            # A forged position would keep decisions from being published.
            if seals.problem(record) is not None:
                return
            for name, value in record.headers:
                if name == POSITION_HEADER and value:
                    _, offset, index = value.decode().split(":")
                    place = (int(offset), int(index))
                    held = self._said.get((topic, record.partition), (-1, -1))
                    self._said[(topic, record.partition)] = max(held, place)

        name = named(self._settings, topic)
        starts = await _tails(self._settings, name)
        await read_span(self._settings, starts, note)

    async def _run(self, partition: int) -> None:
        lane, tries = self._lanes[partition], 0
        while True:
            await lane.wake.wait()
            lane.wake.clear()
            while lane.queue:
                lane.busy = True
                accepted, headers = lane.queue[0]
                try:
                    await self._say(partition, accepted, headers)
                except (KafkaError, AppendError) as error:
                    self._tell(partition, accepted, tries, error)
                    tries += 1
                    await asyncio.sleep(_AFTER_ERROR_S)
                    continue
                tries = 0
                lane.queue.popleft()
            lane.busy = False

    def _tell(self, partition: int, accepted: Accepted, tries: int, error: BaseException) -> None:
        level = logging.WARNING if tries < _TRIES_BEFORE_ERROR else logging.ERROR
        if tries % _TRIES_BEFORE_ERROR == 0:
            place = f"{self._log.name}-{partition}-{accepted.offset}"
            log.log(level, "%s is not said in public yet, tried %d times: %r", place, tries + 1, error)

    async def _say(self, partition: int, accepted: Accepted, headers: Mapping[str, bytes]) -> None:
        record = accepted.record
        if record is None:
            return
        if record.error:
            await self._dead_letter(partition, record.inputs[0], record.error)
        bare = Input(self._log.name, accepted.offset, ())
        futures: list[asyncio.Future[RecordMetadata]] = []
        said: dict[tuple[str, int], Place] = {}
        for index, document in enumerate(record.events):
            try:
                event = from_json(document)
            except InvalidError as error:
                # Written by a newer copy, which says it too; this one must not stop for what it has no name for.
                origin = Input(self._log.name, accepted.offset, (document,))
                await self._dead_letter(partition, origin, f"not said in public: {error}")
                continue
            place = (accepted.offset, index)
            for topic in carriers_of(event.type):
                if place > self._said.get((topic.name, partition), (-1, -1)):
                    key, value, pairs = to_kafka(event, self._extra(partition, place, headers))
                    said[(topic.name, partition)] = place
                    try:
                        futures.append(
                            await self._appender.append(topic.name, partition, _key(topic, event, key), value, pairs)
                        )
                    except OversizeError as error:
                        await self._dead_letter(partition, bare, f"not said in public: {error}")
        for future in futures:
            try:
                await future
            except MessageSizeTooLargeError as error:
                await self._dead_letter(partition, bare, f"not said in public: {error!r}")
        self._said |= said

    def _extra(self, partition: int, place: Place, headers: Mapping[str, bytes]) -> dict[str, bytes]:
        return {**headers, POSITION_HEADER: f"{partition}:{place[0]}:{place[1]}".encode()}

    async def _dead_letter(self, partition: int, origin: Input, reason: str) -> None:
        key = f"{origin.source}-{partition}-{origin.offset}".encode()
        headers = origin_headers(origin.source, partition, origin.offset, self._log.producer, reason)
        try:
            await self._appender.append_and_wait("dead-letters", partition, key, msgspec.json.encode(origin), headers)
        except OversizeError:
            # What was too large to be recorded or said stands whole at its origin.
            bare = msgspec.json.encode(Input(origin.source, origin.offset, ()))
            await self._appender.append_and_wait("dead-letters", partition, key, bare, headers)


def _key(topic: Topic, event: Event, key: bytes) -> bytes:
    # A compacted topic keeps the last record a key, and a target may have several plans.
    return f"{event.target} {event.name}".encode() if topic.compacted and isinstance(event, PlanRegistered) else key


async def _tails(settings: Settings, name: str) -> dict[TopicPartition, int]:
    consumer = AIOKafkaConsumer(**connection(settings), enable_auto_commit=False)
    await consumer.start()
    try:
        ends = await consumer.end_offsets([TopicPartition(name, partition) for partition in range(PARTITIONS)])
    finally:
        await consumer.stop()
    # A few records back: the newest positions may have been written out of order by two copies.
    return {partition: max(0, end - 50) for partition, end in ends.items()}
