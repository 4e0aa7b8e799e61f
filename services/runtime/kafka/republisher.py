"""Publishes accepted decisions: duplicates are possible after a crash; an event without its decision is not."""

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from aiokafka.structs import RecordMetadata

from penstock.chain import Accepted, Document, Input
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

Message = tuple[str, bytes, bytes, list[tuple[str, bytes]]]
"""Topic, key, value and headers."""


@dataclass
class _Queue:
    """One partition's decisions on their way."""

    records: deque[tuple[Accepted, Mapping[str, bytes]]] = field(default_factory=deque)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    busy: bool = False


class Republisher:
    """Publishes accepted records in order, partition by partition, and continues after the last position found."""

    def __init__(self, settings: Settings, appender: Appender, log_topic: Topic) -> None:
        self._settings = settings
        self._appender = appender
        self._log = log_topic
        self._said: dict[tuple[str, int], Place] = {}
        self._queues = [_Queue() for _ in range(PARTITIONS)]
        self._tasks = Tasks(f"{log_topic.producer}, publishing decisions,")

    async def start(self) -> None:
        """Find the last position that each public topic holds, then publish what is offered."""
        for topic in TOPICS:
            if topic.producer == self._log.producer and topic.carries:
                await self._find_positions(topic.name)
        for partition in range(PARTITIONS):
            self._tasks.spawn(self._run(partition), lasting=True)

    async def stop(self) -> None:
        """Stop; what is not published yet is published after the next start."""
        await self._tasks.stop()

    def alive(self) -> bool:
        """Whether every partition's task runs; one that cannot publish a decision tries again, and logs that."""
        return self._tasks.alive()

    def offer(self, partition: int, accepted: Accepted, headers: Mapping[str, bytes]) -> None:
        """Queue an accepted record; returns at once."""
        record = accepted.record
        if record is not None and (record.events or record.error):
            queued = self._queues[partition]
            queued.records.append((accepted, headers))
            queued.wake.set()

    def idle(self, partition: int) -> bool:
        """Whether everything offered of this partition is published."""
        queued = self._queues[partition]
        return not queued.records and not queued.busy

    async def _find_positions(self, topic: str) -> None:
        seals = seals_of(self._settings)

        def note(record: ConsumerRecord) -> None:
            # A forged position would keep decisions from being published.
            if seals.problem(record) is not None:
                return
            for name, value in record.headers:
                if name == POSITION_HEADER and value and (place := _place_of(value)) is not None:
                    held = self._said.get((topic, record.partition), (-1, -1))
                    self._said[(topic, record.partition)] = max(held, place)

        name = named(self._settings, topic)
        starts = await _tails(self._settings, name)
        await read_span(self._settings, starts, note)

    async def _run(self, partition: int) -> None:
        queued, tries = self._queues[partition], 0
        while True:
            await queued.wake.wait()
            queued.wake.clear()
            while queued.records:
                queued.busy = True
                accepted, headers = queued.records[0]
                try:
                    await self._publish(partition, accepted, headers)
                except (KafkaError, AppendError) as error:
                    self._report(partition, accepted, tries, error)
                    tries += 1
                    await asyncio.sleep(_AFTER_ERROR_S)
                    continue
                tries = 0
                queued.records.popleft()
            queued.busy = False

    def _report(self, partition: int, accepted: Accepted, tries: int, error: BaseException) -> None:
        level = logging.WARNING if tries < _TRIES_BEFORE_ERROR else logging.ERROR
        if tries % _TRIES_BEFORE_ERROR == 0:
            place = f"{self._log.name}-{partition}-{accepted.offset}"
            log.log(level, "%s is not published yet, tried %d times: %r", place, tries + 1, error)

    async def _publish(self, partition: int, accepted: Accepted, headers: Mapping[str, bytes]) -> None:
        record = accepted.record
        if record is None:
            return
        if record.error:
            await self._dead_letter(partition, record.inputs[0], record.error)
        bare = Input(self._log.name, accepted.offset, ())
        futures: list[asyncio.Future[RecordMetadata]] = []
        said: dict[tuple[str, int], Place] = {}
        for index, document in enumerate(record.events):
            place = (accepted.offset, index)
            try:
                messages = self._messages(partition, place, document, headers)
            except Exception as error:
                # A newer copy wrote it, and publishes it too: what this one cannot encode must not stop the rest.
                origin = Input(self._log.name, accepted.offset, (document,))
                await self._dead_letter(partition, origin, f"not published: {_reason(error)}")
                continue
            for topic, key, value, pairs in messages:
                said[(topic, partition)] = place
                try:
                    futures.append(await self._appender.append(topic, partition, key, value, pairs))
                except OversizeError as error:
                    await self._dead_letter(partition, bare, f"not published: {error}")
        for future in futures:
            try:
                await future
            except MessageSizeTooLargeError as error:
                await self._dead_letter(partition, bare, f"not published: {error!r}")
        self._said |= said

    def _messages(
        self, partition: int, place: Place, document: Document, headers: Mapping[str, bytes]
    ) -> list[Message]:
        """Return topic, key, value and headers of an event for each of its topics that does not have it yet."""
        event = from_json(document)
        messages = []
        for topic in carriers_of(event.type):
            if place > self._said.get((topic.name, partition), (-1, -1)):
                key, value, pairs = to_kafka(event, self._extra(partition, place, headers))
                messages.append((topic.name, _key(topic, event, key), value, pairs))
        return messages

    def _extra(self, partition: int, place: Place, headers: Mapping[str, bytes]) -> dict[str, bytes]:
        return {**headers, POSITION_HEADER: f"{partition}:{place[0]}:{place[1]}".encode()}

    async def _dead_letter(self, partition: int, origin: Input, reason: str) -> None:
        key = f"{origin.source}-{partition}-{origin.offset}".encode()
        headers = origin_headers(origin.source, partition, origin.offset, self._log.producer, reason)
        try:
            await self._appender.append_and_wait("dead-letters", partition, key, msgspec.json.encode(origin), headers)
        except OversizeError:
            # What was too large to be recorded or published is whole at its origin.
            bare = msgspec.json.encode(Input(origin.source, origin.offset, ()))
            await self._appender.append_and_wait("dead-letters", partition, key, bare, headers)


def _key(topic: Topic, event: Event, key: bytes) -> bytes:
    # A compacted topic keeps the last record a key, and a target may have several plans.
    return f"{event.target} {event.name}".encode() if topic.compacted and isinstance(event, PlanRegistered) else key


def _place_of(header: bytes) -> Place | None:
    """Return the place that a position header names, None where another program wrote it."""
    try:
        _, offset, index = header.decode().split(":")
        return int(offset), int(index)
    except ValueError:
        return None


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, InvalidError) else f"{type(error).__name__}: {error}"


async def _tails(settings: Settings, name: str) -> dict[TopicPartition, int]:
    consumer = AIOKafkaConsumer(**connection(settings), enable_auto_commit=False)
    await consumer.start()
    try:
        ends = await consumer.end_offsets([TopicPartition(name, partition) for partition in range(PARTITIONS)])
    finally:
        await consumer.stop()
    # A few records back: the newest positions may have been written out of order by two copies.
    return {partition: max(0, end - 50) for partition, end in ends.items()}
