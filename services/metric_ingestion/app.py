"""The shell of metric ingestion: endpoints for telemetry, the group that reads frames, the closing clock."""

import asyncio
import logging
from datetime import datetime
from time import monotonic

from aiokafka import ConsumerRecord
from faststream.kafka import KafkaBroker

from penstock.access.denials import reporter
from penstock.chain import Accepted
from penstock.events import WindowClosed, from_json
from penstock.settings import Settings
from penstock.telemetry import Telemetry, seconds_between
from penstock.tokens import load_tokens
from penstock.topics import log_of
from services.metric_ingestion.doors.backlog import Backlog
from services.metric_ingestion.doors.frame_publisher import FramePublisher
from services.metric_ingestion.doors.otlp_http import LIMITS, OtlpEndpoint
from services.metric_ingestion.doors.otlp_kafka import Intake
from services.metric_ingestion.partitions.owner import FRAMES, Append
from services.metric_ingestion.partitions.partitions import Partitions
from services.metric_ingestion.partitions.poller import GroupPoller
from services.metric_ingestion.partitions.restore import NAME
from services.metric_ingestion.selection.registry import Registry
from services.metric_ingestion.windows.closing import nanoseconds
from services.runtime.http.server import HttpServer, health_app
from services.runtime.kafka.appender import Appender
from services.runtime.kafka.connection import KafkaAwayError, ensure_topics, make_broker, named
from services.runtime.kafka.dead_letters import OnceBuried
from services.runtime.kafka.republisher import Republisher
from services.runtime.process.service import Clock, Service
from services.runtime.process.tasks import Tasks

_TICK_S = 0.05
_PATIENCE_S = 60.0

log = logging.getLogger(__name__)


class MetricIngestion:
    """A running copy of metric ingestion."""

    name = NAME

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._tokens = load_tokens(settings.tokens)
        self._telemetry = Telemetry.of(NAME, settings)
        self._appender = Appender(settings)
        self._frames = Appender(settings, compression="zstd")
        self._publisher = FramePublisher(self._frames)
        self._republisher = Republisher(settings, self._appender, log_of(NAME))
        self._letters = OnceBuried(settings, self._appender, NAME)
        self._registry = Registry(settings, self._dead_letter)
        self._broker: KafkaBroker | None = None
        self._partitions: Partitions | None = None
        self._pollers: list[GroupPoller] = []
        self._intake: Intake | None = None
        self._backlog = Backlog([self._publisher.struggles, self._intake_waits], monotonic)
        self._tasks = Tasks(NAME)
        self._server = HttpServer(self._endpoint(), settings.host, settings.otlp_port, LIMITS)

    @property
    def port(self) -> int:
        """Port of the OTLP endpoint; known after the start."""
        return self._server.port

    async def start(self) -> None:
        """Read the plans, restore the assigned partitions, then open the OTLP endpoint."""
        cluster = await ensure_topics(self._settings)
        await asyncio.gather(self._appender.start(), self._frames.start())
        await self._registry.start()
        await self._republisher.start()
        self._partitions = Partitions(
            self._settings,
            cluster,
            self._appender,
            self._republisher,
            self._headers,
            self._measure,
            self._backlog.exists,
        )
        self._broker = make_broker(self._settings)
        self._pollers = [self._frames_poller(self._broker, self._partitions), self._otlp_poller(self._broker)]
        self._partitions.start(self._pollers[0])
        await self._broker.start()
        self._tasks.spawn(self._tick(self._partitions), lasting=True)
        await self._until_ready()
        await self._server.start()

    async def stop(self) -> None:
        """Close the endpoint, wait for acknowledgements, write snapshots, and disconnect."""
        await self._server.stop()
        await self._tasks.stop()
        if self._partitions is not None:
            await self._partitions.stop()
        if self._broker is not None:
            await self._broker.stop()
        await self._registry.stop()
        await self._republisher.stop()
        await asyncio.gather(self._appender.stop(), self._frames.stop())
        self._telemetry.close()

    def ready(self) -> bool:
        """Whether plans are read and every partition of ours is restored."""
        return self._partitions is not None and self._registry.selector is not None and self._partitions.ready()

    def alive(self) -> bool:
        """Whether every loop moves."""
        checks = [
            self._appender.alive,
            self._republisher.alive,
            self._frames.alive,
            self._registry.alive,
            self._server.alive,
            self._tasks.alive,
        ]
        checks += [poller.alive for poller in self._pollers]
        checks += [self._partitions.alive] if self._partitions is not None else []
        return all(check() for check in checks)

    def _dead_letter(self, record: ConsumerRecord, reason: str) -> None:
        self._tasks.spawn(self._letters.keep(record, reason))

    def _intake_waits(self) -> bool:
        return self._intake is not None and self._intake.waits()

    def _now(self) -> int:
        return nanoseconds(self._clock())

    def _endpoint(self) -> OtlpEndpoint:
        return OtlpEndpoint(
            self._tokens,
            lambda: self._registry.selector,
            self._publisher.publish,
            self._now,
            health_app(self.ready, self.alive),
            reporter(self._telemetry),
        )

    def _frames_poller(self, broker: KafkaBroker, partitions: Partitions) -> GroupPoller:
        settings = self._settings
        return GroupPoller(
            broker,
            named(settings, FRAMES),
            f"{settings.topic_prefix}penstock-ingestion",
            settings.instance,
            partitions.receive,
            partitions.assign,
            partitions.revoke,
        )

    def _otlp_poller(self, broker: KafkaBroker) -> GroupPoller:
        settings = self._settings
        self._intake = intake = Intake(
            self._registry.current_selector,
            self._publisher,
            self._appender,
            self._now,
            lambda: poller.commit(),
            f"otlp_metrics at {settings.instance}",
            lambda: poller.unread(),
        )
        poller = GroupPoller(
            broker,
            named(settings, "otlp_metrics"),
            f"{settings.topic_prefix}penstock-otlp",
            settings.instance,
            intake.receive,
        )
        return poller

    async def _until_ready(self) -> None:
        deadline = asyncio.get_running_loop().time() + _PATIENCE_S
        while not self.ready():
            if asyncio.get_running_loop().time() > deadline or not self.alive():
                raise KafkaAwayError("metric ingestion got no partitions restored within a minute; see the log")
            await asyncio.sleep(0.02)

    async def _tick(self, partitions: Partitions) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            partitions.tick(self._now(), self._registry.watched_in)

    def _headers(self, append: Append) -> dict[str, bytes]:
        parent = {"traceparent": append.origin} if append.origin else None
        with self._telemetry.span("close window", parent, {"penstock.target": append.target}) as carrier:
            return {name: value.encode() for name, value in carrier.items()}

    def _measure(self, accepted: Accepted) -> None:
        now: datetime = self._clock()
        for document in accepted.record.events if accepted.record is not None else ():
            event = from_json(document)
            if isinstance(event, WindowClosed):
                self._telemetry.elapsed("window end -> closed", seconds_between(event.end, now))
                if event.first_sample_at is not None:
                    self._telemetry.elapsed("sample -> window", seconds_between(event.first_sample_at, now))


def build(settings: Settings, clock: Clock) -> Service:
    """Return the service, not yet started."""
    return MetricIngestion(settings, clock)
