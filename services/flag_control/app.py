"""Flag control at work: it follows rollouts, decides what clients are served, serves it, and says who was sent what."""

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping

from penstock.chain import Document, Item, Record
from penstock.errors import AppendError, OversizeError
from penstock.events import FlagServed, RollbackStarted, RolloutSuperseded
from penstock.events.cloudevents import to_kafka
from penstock.partitioner import partition_of
from penstock.settings import Settings
from penstock.telemetry import Telemetry
from penstock.tokens import load_tokens
from services.flag_control.decide import EXPOSING, decide
from services.flag_control.fallback.kill_spool import Spool
from services.flag_control.fallback.last_good import Kept, LastGood, kept_of
from services.flag_control.fallback.last_good_writer import Keeper
from services.flag_control.fallback.peers import Peers, peer_key
from services.flag_control.fallback.start_without_kafka import Meanwhile
from services.flag_control.flag.change import document_of
from services.flag_control.flag.skipped_events import still_due
from services.flag_control.http_api import control_app
from services.flag_control.log_follower import FlagLog
from services.flag_control.operations import FlagControls
from services.flag_control.publisher import Publisher
from services.flag_control.redis_view import RedisView
from services.flag_control.served_reports import Reports
from services.flag_control.serving.access import Access
from services.flag_control.serving.client_libraries import parse_bucketings
from services.flag_control.serving.cors import parse_origins
from services.flag_control.serving.flagd_sync import SyncServer
from services.flag_control.serving.http_server import http_server
from services.flag_control.serving.ofrep import Ofrep
from services.flag_control.serving.store import FlagStore
from services.flag_control.serving.tls import server_credentials
from services.flag_control.serving.usage import Usage
from services.runtime.decider.shell import DeciderShell, Spec
from services.runtime.http.server import HttpServer, health_routes
from services.runtime.kafka.appender import Appender
from services.runtime.process.instance import instance_folder
from services.runtime.process.service import Clock, Parked, Service
from services.runtime.process.tasks import Tasks

NAME = "flag_control"
_ROLLOUT_LOG = "rollout-log"

log = logging.getLogger(__name__)


class FlagControl:
    """One copy; any number of them serve the same revisions."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.name = NAME
        self._settings = settings
        self._store = FlagStore()
        self._clock = clock
        self._restored = False
        self._appender = Appender(settings)
        self._log = FlagLog(settings, self._shell, self._appender, self._on_followed)
        self._publisher = Publisher(self._store, self._log.document, parse_bucketings(settings.bucketing))
        folder = instance_folder(settings, NAME)
        self._spool = Spool(folder / "kills.jsonl")
        self._last_good = LastGood(folder / "last-good")
        self._keeper = Keeper(self._last_good, self._kept, lambda flags: self._controls.saved(flags))
        self._on_disk: frozenset[str] = frozenset()
        self._peers = Peers(settings.peers, peer_key(load_tokens(settings.tokens)))
        self._usage = Usage(time.time)  # noqa: TID251 - a shell reads the clock
        self._sync = SyncServer(
            self._store, settings.host, settings.sync_port, credentials=server_credentials(settings)
        )
        self._reports = Reports(settings.instance, self._sync.streams, self._report, clock)
        self._controls = FlagControls(
            self._store, self._publisher, self._spool, self._peers, self._reports, self._usage, self._log, clock
        )
        self._meanwhile = Meanwhile(self._publisher, self._peers, self._keeper, self._controls.spooled, clock)
        self._controls.stale = lambda: self._meanwhile.stale
        self._reports.on_disk = self._keeper.on_disk
        self._keeper.on_written = self._reports.look_soon
        self._http = self._http_server()
        self._telemetry = Telemetry.of(NAME, settings)
        self._view = RedisView(settings.redis, self._flag_of) if settings.redis else None
        self._heard: dict[str, float] = {}
        self._sending = Tasks("flag_control, sending its reports,")

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
        self._publisher.hold({})
        for kill in self._spool.load():
            self._publisher.put_ahead(kill)
        kept = await asyncio.to_thread(self._last_good.load)
        self._on_disk = frozenset(kept)
        for flag in kept.values():
            for event, offset in flag.events:
                self._publisher.put_ahead(event, offset)
        await self._http.start()
        await self._sync.start()
        self._keeper.start()
        if self._view is not None:
            self._view.start()
        if not await self._log.start() and not self._restored:
            await self._meanwhile.begin(kept)

    async def stop(self) -> None:
        """Let clients go, then stop."""
        await self._sync.stop()
        await self._http.stop()
        await self._meanwhile.stop()
        await self._log.stop()
        await self._sending.stop(patience=1)
        await self._reports.stop()
        await self._keeper.stop()
        await self._appender.stop()
        if self._view is not None:
            await self._view.stop()
        await self._peers.close()
        self._telemetry.close()

    def ready(self) -> bool:
        """Whether there is something to serve: what the log says, or, while Kafka is away, the last that it said."""
        return self._log.ready() or self._meanwhile.stale is not None

    def alive(self) -> bool:
        """Whether its loops move."""
        parts = (self._log, self._http, self._sending, self._reports, self._keeper, self._meanwhile)
        return all(part.alive() for part in parts) and (self._view is None or self._view.alive())

    def _shell(self) -> DeciderShell:
        if self._restored:
            # Kafka went away again right after the restore: the next shell knows nothing until it has read the log.
            self._restored = False
            self._publisher.hold_served()
        spec = Spec(
            NAME,
            decide,
            plain=("commands",),
            chained=(_ROLLOUT_LOG,),
            received=self._on_received,
            accepted=self._on_accepted,
            restored=self._on_restored,
            still_due=still_due,
        )
        return DeciderShell(spec, self._settings, self._clock)

    def parked(self) -> Iterable[Parked]:
        """Return the targets that are held back."""
        return self._log.parked()

    def _http_server(self) -> HttpServer:
        settings, tokens = self._settings, load_tokens(self._settings.tokens)
        health = health_routes(self.ready, self.alive, self.parked, self._more_health)
        control = control_app(self._controls, tokens, health)
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

    def _on_received(self, item: Item) -> None:
        """Lower at once: the rollback is accepted in its own log, and needs no second opinion."""
        for event in item.events:
            if isinstance(event, EXPOSING):
                self._heard[event.id] = time.monotonic()
                if isinstance(event, RollbackStarted | RolloutSuperseded) and self._publisher.knows(item.target):
                    self._publisher.lower(event, item.offset)
                    self._keeper.changed(item.target)

    def _on_restored(self, documents: Mapping[str, Document]) -> None:
        self._restored = True
        self._publisher.release(documents, lambda target, offset: self._log.covers(target, _ROLLOUT_LOG, offset))
        served = [target for target in documents if self._publisher.knows(target)]
        self._keeper.changed(*served, *(self._on_disk - documents.keys()))
        self._reports.restored({target: self._publisher.state(target) for target in served})

    def _on_followed(self) -> None:
        # Not before: until the inputs are followed too it takes kills only, and must go on answering meanwhile.
        self._meanwhile.end()
        for kill in self._spool.load():
            self._controls.hand_in(kill)
        if self._view is not None:
            self._view.changed(*self._publisher.targets)

    def _on_accepted(self, target: str, record: Record, _: Document) -> None:
        decided = [event["id"] for consumed in record.inputs for event in consumed.events]
        self._publisher.settle(target, frozenset(decided))
        self._controls.settle(record)
        self._keeper.changed(target)
        state = self._publisher.state(target)
        since = min((self._heard.pop(event, time.monotonic()) for event in decided), default=time.monotonic())
        # A refusal names no version: nothing that clients are served has changed.
        if any("version" in fact for fact in record.events):
            self._reports.changed(target, state, record.events[-1]["id"], since)
            if self._view is not None:
                self._view.changed(target)

    def _kept(self, target: str) -> Kept | None:
        good = self._publisher.good(target)
        return kept_of(target, *good, self._clock().isoformat()) if good is not None else None

    def _more_health(self) -> Document:
        stale = self._controls.staleness()
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
