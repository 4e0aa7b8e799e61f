"""The shell of notification: reads every public topic, queues per subscriber, records each attempt on `deliveries`."""

import asyncio
import itertools
import logging
import secrets
from collections.abc import Callable, Mapping
from datetime import timedelta

from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaError

import penstock
from penstock.chain.failures import fault_of
from penstock.egress import Egress
from penstock.errors import AppendError, InvalidError, OversizeError, Problem
from penstock.events import DeliveryFailed, DeliverySucceeded, Event, RolloutAnnounced
from penstock.events.cloudevents import to_kafka
from penstock.partitioner import partition_of
from penstock.settings import Settings
from penstock.subscribers import load_subscribers
from penstock.telemetry import Telemetry, attributes_of, seconds_between
from penstock.topics import PUBLIC
from services.notification.audience import Audience
from services.notification.committed_offsets import CommittedOffsets
from services.notification.deliver import Outcome, deliver, endpoint_of
from services.notification.history import Library, read_since
from services.notification.job import Job, Key, Position
from services.notification.ledger import Ledger
from services.notification.low_water_marks import LowWaterMarks
from services.notification.recorded import Deliverable, event_of
from services.notification.records import record_of
from services.notification.schedule import HORIZON
from services.notification.subscriber_queue import SubscriberQueue
from services.runtime.decider.partition import TRACE_HEADERS
from services.runtime.kafka.appender import Appender
from services.runtime.kafka.connection import ensure_topics, named
from services.runtime.kafka.dead_letters import dead_letter, record_at
from services.runtime.kafka.reader import Heard, PublicReader
from services.runtime.process.service import Clock, Service
from services.runtime.process.tasks import Tasks

NAME = "notification"
DELIVERIES = "deliveries"
FOLLOWED = tuple(topic.name for topic in PUBLIC if topic.name != DELIVERIES)

_COMMIT_S = 1.0
_COMMIT_ALL_AFTER = 3600
_LAST_COMMIT_S = 2.0
_AFTER_ERROR_S = 0.5
_LONGEST_ROLLOUT = timedelta(days=90)
_ANNOUNCED = b"rollout.announced"
_UNTRIED = "not tried: too many deliveries to this subscriber are waiting"

log = logging.getLogger(__name__)


class Notification:
    """The one copy: what it has read, queued and recorded.

    Args:
        jitter: gives numbers from 0 to 1 that spread retries.
    """

    def __init__(self, settings: Settings, clock: Clock, jitter: Callable[[], float]) -> None:
        self.name = NAME
        self._settings = settings
        self._clock = clock
        self._jitter = jitter
        self._subscribers = load_subscribers(settings.subscribers)
        self._audience = Audience(self._subscribers)
        self._ledger = Ledger()
        self._marks = LowWaterMarks({})
        self._queues: dict[str, SubscriberQueue] = {}
        self._queued: set[Key] = set()
        self._egress = Egress(allow_private=settings.allow_private_webhooks)
        self._appender = Appender(settings)
        self._offsets = CommittedOffsets(settings, FOLLOWED)
        self._library = Library(settings)
        self._telemetry = Telemetry.of(NAME, settings)
        self._topics = {named(settings, topic): topic for topic in FOLLOWED}
        self._reader: PublicReader | None = None
        self._tasks = Tasks(NAME)
        self._following = False

    async def start(self) -> None:
        """Fold what was delivered, queue what is pending, and follow from the committed offsets."""
        await ensure_topics(self._settings)
        await self._appender.start()
        now = self._clock()
        # Past the horizon nothing is pending; a day more covers attempts and downtime between them.
        since = now - timedelta(seconds=HORIZON) - timedelta(days=1)
        _, _, starts = await asyncio.gather(
            read_since(self._settings, DELIVERIES, since, lambda _: True, self._fold),
            read_since(
                self._settings, "rollouts", now - _LONGEST_ROLLOUT, lambda kind: _ANNOUNCED in kind, self._remember
            ),
            self._offsets.start(),
        )
        self._marks = LowWaterMarks(starts)
        for job in list(self._ledger.pending.values()):
            self._queue_of(job.key[0]).offer(job)
        self._reader = PublicReader(self._settings, FOLLOWED, self._on_event, starts, self._on_refused)
        await self._reader.start()
        self._tasks.spawn(self._commit(), lasting=True)
        self._following = True

    async def stop(self) -> None:
        """Stop; what has no outcome yet is delivered after the next start."""
        if self._reader is not None:
            await self._reader.stop()
        await asyncio.gather(*(queue.stop() for queue in self._queues.values()))
        await self._tasks.stop()
        try:
            # Without a broker the client would look for one indefinitely; what is not committed is only read again.
            async with asyncio.timeout(_LAST_COMMIT_S):
                await self._offsets.commit(self._marks.all())
        except (KafkaError, TimeoutError) as error:
            log.warning("offsets were not committed: %s", type(error).__name__)
        await asyncio.gather(self._offsets.stop(), self._library.stop(), self._appender.stop(), self._egress.close())

    def ready(self) -> bool:
        """Whether everything that was in the topics at the start has been read."""
        return self._following and self._reader is not None and self._reader.caught_up()

    def alive(self) -> bool:
        """Whether its loops move."""
        return (
            (self._reader is None or self._reader.alive())
            and self._appender.alive()
            and self._tasks.alive()
            and all(queue.alive() for queue in self._queues.values())
        )

    def _fold(self, event: Event) -> None:
        if isinstance(event, DeliverySucceeded | DeliveryFailed):
            self._ledger.record(event)

    def _remember(self, event: Event) -> None:
        if isinstance(event, RolloutAnnounced):
            self._audience.remember(event)

    def _on_event(self, received: Heard) -> None:
        position = Position(received.topic, received.partition, received.offset)
        self._marks.advance(position)
        self._remember(received.event)
        self._enqueue(received.event, position, received.headers)

    def _enqueue(self, event: Deliverable, position: Position, headers: Mapping[str, bytes]) -> None:
        trace = tuple((name, value.decode("ascii", "replace")) for name, value in headers.items())
        for name in self._audience.of(event):
            key = (name, event.id)
            if key in self._queued or self._ledger.knows(key):
                continue
            self._queued.add(key)
            self._marks.open(position)
            context = tuple(pair for pair in trace if pair[0] in TRACE_HEADERS)
            job = Job(key, event.type, event.target, event.rollout, position, 1, self._clock(), event, context)
            self._queue_of(name).offer(job)

    def _on_refused(self, record: ConsumerRecord, reason: str) -> None:
        position = Position(self._topics[record.topic], record.partition, record.offset)
        self._marks.advance(position)
        try:
            event = event_of(record)
            if isinstance(event, Event):
                raise InvalidError("event", [Problem("", reason)])
            self._enqueue(event, position, {name: value for name, value in record.headers if value is not None})
        except Exception:
            # Nothing after the record is committed before its dead letter is written.
            self._marks.open(position)
            self._tasks.spawn(self._bury(record, reason, position))

    async def _bury(self, record: ConsumerRecord, reason: str, position: Position) -> None:
        await dead_letter(self._appender, NAME, record, reason)
        self._marks.close(position)

    def _queue_of(self, name: str) -> SubscriberQueue:
        queue = self._queues.get(name)
        if queue is None:
            queue = self._queues[name] = SubscriberQueue(self._clock, self._attempt)
            queue.start()
        return queue

    async def _attempt(self, job: Job) -> Job | None:
        """Make one attempt and record it; an error in this service ends this delivery, and no other."""
        try:
            return await self._try(job)
        except Exception as error:
            log.exception("delivery of %s to %s", job.key[1], job.key[0])
            position, reason = job.position, f"not delivered to {job.key[0]}: {fault_of(error, penstock.__version__)}"
            topic = named(self._settings, position.topic)
            await dead_letter(self._appender, NAME, record_at(topic, position.partition, position.offset, b""), reason)
            self._queued.discard(job.key)
            self._marks.close(position)
            return None

    async def _try(self, job: Job) -> Job | None:
        name = job.key[0]
        began = self._clock()
        subscriber = self._subscribers.get(name)
        endpoint = endpoint_of(subscriber) if subscriber is not None else None
        try:
            outcome = await self._outcome(job, endpoint)
        except Exception as error:
            log.exception("delivery of %s to %s", job.key[1], name)
            outcome = Outcome(reason=fault_of(error, penstock.__version__))
        ended = self._clock()
        record = record_of(job, endpoint, outcome, ended, seconds_between(began, ended), self._jitter())
        await self._append(record)
        self._ledger.record(record)
        self._queued.discard(job.key)
        self._marks.close(job.position)
        if isinstance(record, DeliverySucceeded):
            return None
        log.warning("%s did not receive %s %s: %s", name, job.event_type, job.key[1], record.reason)
        return job.after(record) if record.next_in_seconds is not None else None

    async def _outcome(self, job: Job, endpoint: str | None) -> Outcome:
        subscriber = self._subscribers.get(job.key[0])
        if subscriber is None or endpoint is None:
            return Outcome(reason="the subscribers file has no subscriber of that name with an address")
        if self._ledger.is_gone(subscriber.name, endpoint):
            return Outcome(reason="disabled: the subscriber answered 410 Gone")
        if job.attempt == 1 and self._queue_of(subscriber.name).is_full():
            return Outcome(reason=_UNTRIED, again=True)
        event = job.event
        try:
            event = event or await self._library.fetch(job.position)
        except (KafkaError, InvalidError) as error:
            return Outcome(reason=f"the event cannot be read again: {type(error).__name__}", again=True)
        if event is None:
            return Outcome(reason="the event is no longer kept")
        with self._telemetry.span(f"deliver {event.type}", dict(job.trace), attributes_of(event)) as trace:
            outcome = await deliver(self._egress, subscriber, event, self._clock(), trace)
        if outcome.delivered:
            self._telemetry.elapsed("notified", seconds_between(event.time, self._clock()))
        return outcome

    async def _append(self, record: DeliverySucceeded | DeliveryFailed) -> None:
        key, value, headers = to_kafka(record)
        while True:
            try:
                await self._appender.append_and_wait(DELIVERIES, partition_of(record.target), key, value, headers)
            except OversizeError as error:
                log.error("delivery %s cannot be recorded: %s", record.id, error)
                return
            except AppendError as error:
                # Until it is on record the attempt did not happen; after a crash it is made again.
                log.warning("delivery record %s waits for Kafka: %s", record.id, type(error).__name__)
                await asyncio.sleep(_AFTER_ERROR_S)
            else:
                return

    async def _commit(self) -> None:
        for second in itertools.count(1):
            await asyncio.sleep(_COMMIT_S)
            try:
                await self._offsets.commit(self._marks.all(), again=second % _COMMIT_ALL_AFTER == 0)
            except KafkaError as error:
                log.warning("offsets are not committed yet: %s", type(error).__name__)


def build(settings: Settings, clock: Clock) -> Service:
    """Return the service, not yet started."""
    return Notification(settings, clock, secrets.SystemRandom().random)
