"""Notification at work: hears every public topic, queues for each subscriber, records every attempt on `deliveries`."""

import asyncio
import itertools
import logging
import secrets
from collections.abc import Callable
from datetime import timedelta

from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaError

from penstock.egress import Egress
from penstock.errors import AppendError, InvalidError, OversizeError
from penstock.events import DeliveryFailed, DeliverySucceeded, Event, RolloutAnnounced
from penstock.events.cloudevents import to_kafka
from penstock.partitioner import partition_of
from penstock.settings import Settings
from penstock.subscribers import load_subscribers
from penstock.telemetry import Telemetry, attributes_of, seconds_between
from penstock.topics import PUBLIC
from services.notification.audience import Audience
from services.notification.deliver import Outcome, deliver, endpoint_of
from services.notification.history import Library, read_since
from services.notification.job import Job, Key, Position
from services.notification.ledger import Ledger
from services.notification.low_water_marks import Marks
from services.notification.progress import Progress
from services.notification.records import record_of
from services.notification.schedule import HORIZON
from services.notification.subscriber_queue import Lane
from services.runtime.decider.partition import TRACE_HEADERS
from services.runtime.kafka.appender import Appender
from services.runtime.kafka.connection import ensure_topics, named
from services.runtime.kafka.reader import Heard, PublicReader
from services.runtime.process.service import Clock, Service
from services.runtime.process.tasks import Tasks

NAME = "notification"
DELIVERIES = "deliveries"
HEARD = tuple(topic.name for topic in PUBLIC if topic.name != DELIVERIES)

_COMMIT_S = 1.0
_COMMIT_ALL_AFTER = 3600
_LAST_COMMIT_S = 2.0
_AFTER_ERROR_S = 0.5
_LONGEST_ROLLOUT = timedelta(days=90)
_ANNOUNCED = b"rollout.announced"
_UNTRIED = "not tried: too many deliveries to this subscriber are waiting"

log = logging.getLogger(__name__)


class Notification:
    """The one copy: what it has heard, queued and recorded.

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
        self._marks = Marks({})
        self._lanes: dict[str, Lane] = {}
        self._queued: set[Key] = set()
        self._egress = Egress(allow_private=settings.allow_private_webhooks)
        self._appender = Appender(settings)
        self._progress = Progress(settings, HEARD)
        self._library = Library(settings)
        self._telemetry = Telemetry.of(NAME, settings)
        self._topics = {named(settings, topic): topic for topic in HEARD}
        self._reader: PublicReader | None = None
        self._tasks = Tasks(NAME)
        self._following = False

    async def start(self) -> None:
        """Fold what was delivered, take up what is pending, follow from where it stood."""
        await ensure_topics(self._settings)
        await self._appender.start()
        now = self._clock()
        # Past the horizon nothing is pending; a day more covers attempts and downtime between them.
        since = now - timedelta(seconds=HORIZON) - timedelta(days=1)
        _, _, starts = await asyncio.gather(
            read_since(self._settings, DELIVERIES, since, lambda _: True, self._fold),
            read_since(
                self._settings, "rollouts", now - _LONGEST_ROLLOUT, lambda kind: _ANNOUNCED in kind, self._learn
            ),
            self._progress.start(),
        )
        self._marks = Marks(starts)
        for job in list(self._ledger.pending.values()):
            self._lane(job.key[0]).offer(job)
        self._reader = PublicReader(self._settings, HEARD, self._on_event, starts, self._on_unreadable)
        await self._reader.start()
        self._tasks.spawn(self._commit(), lasting=True)
        self._following = True

    async def stop(self) -> None:
        """Stop; what has no outcome yet is told again after the next start."""
        if self._reader is not None:
            await self._reader.stop()
        await asyncio.gather(*(lane.stop() for lane in self._lanes.values()))
        await self._tasks.stop()
        try:
            # Without a broker the client would look for one for ever; what is not committed is only heard again.
            async with asyncio.timeout(_LAST_COMMIT_S):
                await self._progress.commit(self._marks.all())
        except (KafkaError, TimeoutError) as error:
            log.warning("positions were not committed: %s", type(error).__name__)
        await asyncio.gather(self._progress.stop(), self._library.stop(), self._appender.stop(), self._egress.close())

    def ready(self) -> bool:
        """Whether everything that stood in the topics at the start has been heard."""
        return self._following and self._reader is not None and self._reader.caught_up()

    def alive(self) -> bool:
        """Whether its loops move."""
        return (
            (self._reader is None or self._reader.alive())
            and self._appender.alive()
            and self._tasks.alive()
            and all(lane.alive() for lane in self._lanes.values())
        )

    def _fold(self, event: Event) -> None:
        if isinstance(event, DeliverySucceeded | DeliveryFailed):
            self._ledger.take(event)

    def _learn(self, event: Event) -> None:
        if isinstance(event, RolloutAnnounced):
            self._audience.learn(event)

    def _on_event(self, heard: Heard) -> None:
        event, position = heard.event, Position(heard.topic, heard.partition, heard.offset)
        self._marks.hear(position)
        self._learn(event)
        trace = tuple((name, value.decode("ascii", "replace")) for name, value in heard.headers.items())
        for name in self._audience.of(event):
            key = (name, event.id)
            if key in self._queued or self._ledger.knows(key):
                continue
            self._queued.add(key)
            self._marks.open(position)
            context = tuple(pair for pair in trace if pair[0] in TRACE_HEADERS)
            job = Job(key, event.type, event.target, event.rollout, position, 1, self._clock(), event, context)
            self._lane(name).offer(job)

    def _on_unreadable(self, record: ConsumerRecord, error: InvalidError) -> None:
        self._marks.hear(Position(self._topics[record.topic], record.partition, record.offset))
        log.warning("passed over %s-%d at %d: %s", record.topic, record.partition, record.offset, error.subject)

    def _lane(self, name: str) -> Lane:
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = Lane(self._clock, self._attempt)
            lane.start()
        return lane

    async def _attempt(self, job: Job) -> Job | None:
        name = job.key[0]
        began = self._clock()
        subscriber = self._subscribers.get(name)
        endpoint = endpoint_of(subscriber) if subscriber is not None else None
        outcome = await self._outcome(job, endpoint)
        ended = self._clock()
        record = record_of(job, endpoint, outcome, ended, seconds_between(began, ended), self._jitter())
        await self._say(record)
        self._ledger.take(record)
        self._queued.discard(job.key)
        self._marks.close(job.position)
        if isinstance(record, DeliverySucceeded):
            return None
        log.warning("%s did not hear of %s %s: %s", name, job.event_type, job.key[1], record.reason)
        return job.after(record) if record.next_in_seconds is not None else None

    async def _outcome(self, job: Job, endpoint: str | None) -> Outcome:
        subscriber = self._subscribers.get(job.key[0])
        if subscriber is None or endpoint is None:
            return Outcome(reason="the subscribers file has no subscriber of that name with an address")
        if self._ledger.is_gone(subscriber.name, endpoint):
            return Outcome(reason="disabled: the subscriber answered 410 Gone")
        if job.attempt == 1 and self._lane(subscriber.name).is_full():
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
        if outcome.heard:
            self._telemetry.elapsed("notified", seconds_between(event.time, self._clock()))
        return outcome

    async def _say(self, record: DeliverySucceeded | DeliveryFailed) -> None:
        key, value, headers = to_kafka(record)
        while True:
            try:
                await self._appender.append_and_wait(DELIVERIES, partition_of(record.target), key, value, headers)
            except OversizeError as error:
                log.error("delivery %s cannot be put on record: %s", record.id, error)
                return
            except AppendError as error:
                # Until it is on record the attempt did not happen; after a crash it is made again.
                log.warning("delivery record %s waits: %s", record.id, type(error).__name__)
                await asyncio.sleep(_AFTER_ERROR_S)
            else:
                return

    async def _commit(self) -> None:
        for second in itertools.count(1):
            await asyncio.sleep(_COMMIT_S)
            try:
                await self._progress.commit(self._marks.all(), again=second % _COMMIT_ALL_AFTER == 0)
            except KafkaError as error:
                log.warning("positions wait: %s", type(error).__name__)


def build(settings: Settings, clock: Clock) -> Service:
    """Return the service, not yet started."""
    return Notification(settings, clock, secrets.SystemRandom().random)
