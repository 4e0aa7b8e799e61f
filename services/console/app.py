"""The console process: reads every public topic, serves API and dashboard, accepts deploys and requests of people."""

import asyncio
import logging
import secrets
from functools import partial

from aiokafka import ConsumerRecord, TopicPartition
from faststream.kafka import KafkaBroker
from starlette.applications import Starlette

from penstock.access.denials import reporter
from penstock.errors import AppendError, UnavailableError
from penstock.events import Event
from penstock.events.cloudevents import to_kafka
from penstock.partitioner import partition_of
from penstock.settings import Settings
from penstock.telemetry import Telemetry, attributes_of
from penstock.tokens import load_tokens
from penstock.topics import BY_NAME, PUBLIC
from services.console.application import Access, Health, Outward, ReadModels, application
from services.console.commands import Commands
from services.console.flag_control_client import FlagControl
from services.console.http_api.closed import names_of, reads_need_a_role
from services.console.http_api.event_stream import Hub
from services.console.http_api.security import Door
from services.console.http_api.session_key import session_key
from services.console.http_api.sessions import EndedSessions
from services.console.intake.topic import IntakeTopic
from services.console.read_models.dead_letters import DeadLetters
from services.console.read_models.projection import Projection
from services.console.redrive import Redrive
from services.runtime.http.limits import Limits
from services.runtime.http.server import HttpServer
from services.runtime.kafka.appender import Appender
from services.runtime.kafka.connection import connection, ensure_topics, make_broker, named, read_one
from services.runtime.kafka.dead_letters import OnceBuried, dead_letter
from services.runtime.kafka.positions import first_and_end_offsets
from services.runtime.kafka.reader import Heard, PublicReader
from services.runtime.kafka.seals import seals_of
from services.runtime.kafka.subscriber import PositionedSubscriber
from services.runtime.process.service import Clock, Service
from services.runtime.process.tasks import Tasks

NAME = "console"
_PUBLISH_S = 10.0
_EVIDENCE = ("metric-windows", "gate-verdicts")
_EVIDENCE_TAIL = 2_000
"""Records of each partition of evidence that are read at the start; 400 days of them would take hours."""

log = logging.getLogger(__name__)


class Console:
    """A running copy of the console."""

    name = NAME

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._telemetry = Telemetry.of(NAME, settings)
        self._projection = Projection()
        self._letters = DeadLetters(settings.topic_prefix)
        self._hub = Hub(self._projection, life=secrets.token_hex(4))
        self._appender = Appender(settings)
        self._reader: PublicReader | None = None
        self._letter_broker: KafkaBroker | None = None
        self._letter_reader: PositionedSubscriber | None = None
        self._refused = OnceBuried(settings, self._appender, NAME)
        bury = partial(dead_letter, self._appender, NAME)
        self._intake = IntakeTopic(settings, self._projection, self.publish, bury)
        self._tasks = Tasks(NAME)
        self._open = False
        self._server = HttpServer(self._application(), settings.host, settings.console_port, Limits())

    @property
    def port(self) -> int:
        """The port of API and dashboard."""
        return self._server.port

    async def start(self) -> None:
        """Connect, read the topics, and serve; the intake opens once everything recorded has been read."""
        await ensure_topics(self._settings)
        await self._appender.start()
        self._reader = await self._new_reader()
        await self._reader.start()
        await self._follow_letters()
        await self._server.start()
        self._tasks.spawn(self._open_intake())

    async def stop(self) -> None:
        """Accept nothing more, end the streams, disconnect."""
        await self._tasks.stop()
        self._hub.close()
        await self._intake.stop()
        await self._server.stop()
        if self._letter_reader is not None:
            await self._letter_reader.stop()
        if self._letter_broker is not None:
            await self._letter_broker.stop()
        if self._reader is not None:
            await self._reader.stop()
        await self._appender.stop()
        self._telemetry.close()

    def ready(self) -> bool:
        """Whether everything recorded before the start has been read, and the intake is open."""
        return self._open

    def alive(self) -> bool:
        """Whether all loops make progress."""
        letters = self._letter_reader is None or self._letter_reader.alive()
        reader = self._reader is None or self._reader.alive()
        return (
            self._tasks.alive()
            and self._intake.alive()
            and letters
            and reader
            and self._appender.alive()
            and self._server.alive()
        )

    def _caught_up(self) -> bool:
        return self._reader is not None and self._reader.caught_up()

    async def _new_reader(self) -> PublicReader:
        """Return a reader of everything decided, and of the newest windows and verdicts: older ones are on no page."""
        names = {named(self._settings, topic): topic for topic in _EVIDENCE}
        places = [TopicPartition(name, p) for name, topic in names.items() for p in range(BY_NAME[topic].partitions)]
        _, ends = await first_and_end_offsets(connection(self._settings), places)
        starts = {(names[place.topic], place.partition): max(0, end - _EVIDENCE_TAIL) for place, end in ends.items()}
        return PublicReader(self._settings, [topic.name for topic in PUBLIC], self._on_event, starts, self._bury)

    async def publish(self, topic: str, event: Event) -> None:
        """Publish an event on its target's partition; returns once all in-sync replicas have it.

        Raises:
            UnavailableError: Kafka did not acknowledge it; whether it arrived is unknown.
            OversizeError: larger than Kafka accepts.
        """
        with self._telemetry.span(f"publish {topic}", None, attributes_of(event)) as carrier:
            key, value, headers = to_kafka(event, {name: text.encode() for name, text in carrier.items()})
            try:
                async with asyncio.timeout(_PUBLISH_S):
                    await self._appender.append_and_wait(topic, partition_of(event.target), key, value, headers)
            except (AppendError, TimeoutError):
                raise UnavailableError("Kafka is not accepting events now") from None

    def _bury(self, record: ConsumerRecord, reason: str) -> None:
        self._tasks.spawn(self._refused.keep(record, reason))

    def _on_event(self, heard: Heard) -> None:
        self._projection.receive(heard.topic, heard.partition, heard.offset, heard.event)

    async def _follow_letters(self) -> None:
        topic = BY_NAME["dead-letters"]
        places = [TopicPartition(named(self._settings, topic.name), p) for p in range(topic.partitions)]
        firsts, _ = await first_and_end_offsets(connection(self._settings), places)
        self._letter_broker = make_broker(self._settings)

        def receive(records: object) -> None:
            for record in records:  # type: ignore[attr-defined]
                self._letters.receive(record)

        self._letter_reader = PositionedSubscriber(self._letter_broker, firsts, receive, gaps=True)
        await self._letter_broker.start()
        await self._letter_reader.start()

    async def _open_intake(self) -> None:
        while not self._caught_up():  # noqa: ASYNC110 - the reader's callbacks are synchronous; once, at start
            await asyncio.sleep(0.05)
        await self._intake.start()
        self._open = True

    def _application(self) -> Starlette:
        key = session_key(self._settings.session_key_file, self._settings.state)
        ended = EndedSessions(self._settings.state / "console" / "sessions.ended")
        door = Door(load_tokens(self._settings.tokens), key, ended, reporter(self._telemetry))
        commands = Commands(self._projection, self.publish, self._clock, lambda: secrets.token_hex(16))
        read = partial(read_one, self._settings)
        redrive = Redrive(self._letters, self._appender, read, seals_of(self._settings).problem, self._clock)
        return application(
            ReadModels(self._projection, self._letters, self._hub),
            Outward(commands, self.publish, FlagControl(self._settings.flags_server), redrive),
            Access(door, names_of(self._settings), reads_need_a_role(self._settings)),
            Health(self.ready, self.alive, self._caught_up),
            self._clock,
        )


def build(settings: Settings, clock: Clock) -> Service:
    """Return the service, not yet started."""
    return Console(settings, clock)
