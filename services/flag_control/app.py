"""Flag control: follows rollouts, decides what clients are served, serves it, and reports who was sent what."""

import asyncio
import logging
import time
from collections.abc import Iterable

from penstock.access.denials import reporter
from penstock.chain import Document
from penstock.errors import AppendError, OversizeError
from penstock.events import FlagServed
from penstock.events.cloudevents import to_kafka
from penstock.partitioner import partition_of
from penstock.settings import Settings
from penstock.telemetry import Telemetry
from penstock.tokens import load_tokens
from services.flag_control.fallback.kill_spool import KillSpool
from services.flag_control.fallback.last_good import LastGood, SavedFlag, saved_flag
from services.flag_control.fallback.last_good_writer import LastGoodWriter
from services.flag_control.fallback.peers import Peers, peer_key
from services.flag_control.fallback.start_without_kafka import StartWithoutKafka
from services.flag_control.flag.change import document_of
from services.flag_control.http_api import control_app
from services.flag_control.log_effects import LogEffects
from services.flag_control.log_follower import FlagLog
from services.flag_control.operations import FlagOperations
from services.flag_control.publisher import Publisher
from services.flag_control.redis_view import RedisView
from services.flag_control.request_publisher import RequestPublisher
from services.flag_control.served_reports import ServedReports
from services.flag_control.serving.access import Access
from services.flag_control.serving.client_libraries import parse_bucketings
from services.flag_control.serving.cors import parse_origins
from services.flag_control.serving.flagd_sync import SyncServer
from services.flag_control.serving.http_server import http_server
from services.flag_control.serving.ofrep import Ofrep
from services.flag_control.serving.store import FlagStore
from services.flag_control.serving.streams import Signal, Streams
from services.flag_control.serving.tls import server_credentials
from services.flag_control.serving.usage import Usage
from services.runtime.http.server import HttpServer, health_routes
from services.runtime.kafka.appender import Appender
from services.runtime.process.instance import instance_folder
from services.runtime.process.service import Clock, Parked, Service
from services.runtime.process.tasks import Tasks

NAME = "flag_control"
_ROLLOUT_LOG = "rollout-log"

log = logging.getLogger(__name__)


class FlagControl:
    """One instance; any number of them serve the same revisions. Its parts are built bottom-up."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.name = NAME
        self._settings = settings
        self._clock = clock
        self._telemetry = Telemetry.of(NAME, settings)
        self._appender = Appender(settings)
        self._log = FlagLog(settings, self._appender, clock)
        self._store = FlagStore()
        self._publisher = Publisher(self._store, self._log.document, parse_bucketings(settings.bucketing))
        folder, moved = instance_folder(settings, NAME), Signal()
        self._spool = KillSpool(folder / "kills.jsonl")
        self._last_good = LastGood(folder / "last-good")
        self._writer = LastGoodWriter(self._last_good, self._saved_flag, self._spool.forget_recorded, moved)
        self._peers = Peers(settings.peers, peer_key(load_tokens(settings.tokens)))
        self._fallback = StartWithoutKafka(self._publisher, self._peers, self._writer, self._spool, clock)
        self._sync = SyncServer(
            self._store, settings.host, settings.sync_port,
            streams=Streams(moved), credentials=server_credentials(settings),
        )  # fmt: skip
        self._sending = Tasks("flag_control, sending its reports,")
        self._reports = ServedReports(
            settings.instance, self._sync.streams, self._writer.on_disk, moved, self._report, clock
        )
        self._view = RedisView(settings.redis, self._flag_of) if settings.redis else None
        self._usage = Usage(time.time)  # noqa: TID251 - a shell reads the clock
        self._requests = RequestPublisher(self._appender, self._publisher.recorded)
        self._operations = FlagOperations(
            self._store, self._publisher, self._spool, self._peers, self._reports, self._usage,
            self._requests, self._log, self._fallback, clock,
        )  # fmt: skip
        self._effects = LogEffects(
            self._publisher, self._log.covers, self._last_good, self._writer, self._spool, self._requests,
            self._reports, self._operations, self._fallback, self._view,
        )  # fmt: skip
        self._http = self._http_server()

    @property
    def ofrep_port(self) -> int:
        """Port of OFREP and the write endpoint."""
        return self._http.port

    @property
    def sync_port(self) -> int:
        """Port of flagd sync."""
        return self._sync.port

    async def start(self) -> None:
        """Take kills from the first moment on; restore; serve."""
        # The core logs every context that a rule cannot use: a client must not be able to fill our disk.
        logging.getLogger("openfeature.contrib").setLevel(logging.CRITICAL)
        self._publisher.serve_from({})
        for kill in self._spool.load():
            self._publisher.put_ahead(kill)
        saved = await asyncio.to_thread(self._last_good.load)
        for flag in saved.values():
            for event, offset in flag.events:
                self._publisher.put_ahead(event, offset)
        await self._http.start()
        await self._sync.start()
        self._writer.start()
        self._requests.start()
        if self._view is not None:
            self._view.start()
        if not await self._log.start(self._effects) and not self._effects.is_restored:
            await self._fallback.serve(saved)

    async def stop(self) -> None:
        """Let clients go, then stop."""
        await self._sync.stop()
        await self._http.stop()
        await self._fallback.stop()
        await self._log.stop()
        await self._requests.stop()
        await self._sending.stop(patience=1)
        await self._reports.stop()
        await self._writer.stop()
        await self._appender.stop()
        if self._view is not None:
            await self._view.stop()
        await self._peers.close()
        self._telemetry.close()

    def ready(self) -> bool:
        """Whether flags are served: as the log holds them or, while Kafka is away, as they were served last."""
        return self._log.ready() or self._fallback.stale is not None

    def alive(self) -> bool:
        """Whether its loops move."""
        parts = (
            self._log,
            self._http,
            self._sync,
            self._requests,
            self._sending,
            self._reports,
            self._writer,
            self._fallback,
        )
        return all(part.alive() for part in parts) and (self._view is None or self._view.alive())

    def parked(self) -> Iterable[Parked]:
        """Return the targets that are held back."""
        return self._log.parked()

    def _http_server(self) -> HttpServer:
        settings, tokens = self._settings, load_tokens(self._settings.tokens)
        health = health_routes(self.ready, self.alive, self.parked, self._more_health)
        control = control_app(self._operations, tokens, health, reporter(self._telemetry))
        access = Access(tokens) if settings.ofrep_auth else None
        ofrep = Ofrep(
            self._store,
            self._usage,
            control,
            access=access,
            origins=parse_origins(settings.ofrep_origins),
            ready=self.ready,
        )
        return http_server(ofrep, settings.host, settings.ofrep_port)

    def _saved_flag(self, target: str) -> SavedFlag | None:
        good = self._publisher.good(target)
        return saved_flag(target, *good, self._clock().isoformat()) if good is not None else None

    def _more_health(self) -> Document:
        stale = self._operations.staleness()
        return {"stale": stale} if stale is not None else {}

    def _flag_of(self, target: str) -> tuple[int, Document] | None:
        state = self._publisher.state(target)
        flag = document_of(target, state)
        return (state.version, flag) if flag is not None else None

    def _report(self, event: FlagServed) -> None:
        if event.elapsed_ms is not None and event.served == event.streams:
            self._telemetry.elapsed("decision -> clients served", event.elapsed_ms / 1000)
        self._sending.spawn(self._send(event))

    async def _send(self, event: FlagServed) -> None:
        key, value, headers = to_kafka(event)
        try:
            await self._appender.append_and_wait("flag-served", partition_of(event.target), key, value, headers)
        except (AppendError, OversizeError, OSError) as error:
            log.warning("not reported: %s of %s: %s", event.version, event.target, type(error).__name__)


def build(settings: Settings, clock: Clock) -> Service:
    """Return the service, not yet started."""
    return FlagControl(settings, clock)
