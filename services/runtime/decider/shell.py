"""The shell around a pure decider: restore from snapshot and log, follow the inputs, append, fold, republish, tick."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from datetime import datetime
from time import monotonic

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.structs import RecordMetadata
from faststream.kafka import KafkaBroker

import penstock
from penstock.chain import Accepted, Cursor, Decide, Document, Fold, Item, Record, Replica
from penstock.chain.failures import Failures, fault_of
from penstock.chain.replica import Write
from penstock.errors import AppendError, OversizeError
from penstock.events import Event
from penstock.partitioner import partition_of
from penstock.settings import Settings
from penstock.telemetry import Telemetry, seconds_between
from penstock.topics import BY_NAME, PARTITIONS, log_of
from services.runtime.clock.ticker import Ticker
from services.runtime.decider.partition import Hooks, PartitionWorker, StillDue
from services.runtime.decider.restore import restore_workers, spans_of, starts_of
from services.runtime.kafka.appender import Appender
from services.runtime.kafka.connection import ensure_topics, make_broker, named
from services.runtime.kafka.dead_letters import dead_letter, foreign, record_at
from services.runtime.kafka.positions import Offsets
from services.runtime.kafka.republisher import Republisher
from services.runtime.kafka.seals import seals_of
from services.runtime.kafka.snapshots import Snapshots
from services.runtime.kafka.subscriber import TopicSubscriber
from services.runtime.process.service import Clock, Parked
from services.runtime.process.tasks import Tasks

_TICK_S = 0.1
_STUCK_S = 30.0
_MARK_S = 3600.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Spec:
    """What makes a decider.

    Attributes:
        name: of the service, as in the table of topics.
        decide: the pure function.
        plain: unchained topics that it reads; chained: private logs of others that it folds.
        received: called with each input as it arrives, before it is decided.
        accepted: called with (target, record, document) for every accepted record after the restore.
        restored: called once with all documents, before anything else.
        still_due: which events that an earlier version could not read must still be decided; without it none.
    """

    name: str
    decide: Decide
    plain: tuple[str, ...] = ()
    chained: tuple[str, ...] = ()
    received: Callable[[Item], None] | None = None
    accepted: Callable[[str, Record, Document], None] | None = None
    restored: Callable[[Mapping[str, Document]], None] | None = None
    still_due: StillDue | None = None


class DeciderShell:
    """A running copy of a decider over all partitions."""

    def __init__(self, spec: Spec, settings: Settings, clock: Clock) -> None:
        self.name = spec.name
        self._spec = spec
        self._sources = (*spec.plain, *spec.chained)
        self._settings = settings
        self._clock = clock
        self._log = log_of(spec.name)
        self._appender = Appender(settings)
        self._republisher = Republisher(settings, self._appender, self._log)
        self._telemetry = Telemetry.of(spec.name, settings)
        self._workers: list[PartitionWorker] = []
        self._ticker = Ticker(f"/penstock/{spec.name}", clock, monotonic)
        self._snapshots = Snapshots(self._appender, self._republisher, self._log)
        self._since_snapshot = [0] * PARTITIONS
        ours = frozenset(topic for topic in spec.plain if BY_NAME[topic].producer != "external")
        self._failures = Failures(penstock.__version__, settings.dead_letter_limit, ours)
        self._unburied = [0] * PARTITIONS
        self._order = [asyncio.Lock() for _ in range(PARTITIONS)]
        self._broker: KafkaBroker | None = None
        self._subscriber: TopicSubscriber | None = None
        self._tasks = Tasks(spec.name)
        self._parked: set[Parked] | None = None
        self._ticked = monotonic()
        self._started = False

    async def start(self) -> None:
        """Restore every partition, then follow."""
        cluster = await ensure_topics(self._settings)
        await self._appender.start()
        starts, spec = await self._restore(cluster), self._spec
        await self._republisher.start()
        if spec.restored is not None:
            spec.restored(self.documents())
        for worker in self._workers:
            worker.start_deciding(spec.still_due)
        self._broker = make_broker(self._settings)
        self._subscriber = TopicSubscriber(self._broker, starts, self._on_records)
        await self._broker.start()
        await self._subscriber.start()
        self._ticked = monotonic()
        self._tasks.spawn(self._tick(), lasting=True)
        self._tasks.spawn(self._keep_snapshots(), lasting=True)
        self._started = True

    async def stop(self) -> None:
        """Stop following, let what is in flight settle, disconnect."""
        self._started = False
        if self._subscriber is not None:
            await self._subscriber.stop()
        await self._tasks.stop()
        await self._republisher.stop()
        await self._appender.stop()
        if self._broker is not None:
            await self._broker.stop()
        await asyncio.to_thread(self._telemetry.close)

    def ready(self) -> bool:
        """Whether the log is folded, and every input read, to the end that it had at the start."""
        return self._started and self._subscriber is not None and self._ticker.caught_up(self._subscriber.sight)

    def alive(self) -> bool:
        """Whether the poll loop, the sender, the timers and what says decisions in public move."""
        if self._subscriber is None:
            return True
        ticking = not self._started or monotonic() - self._ticked < _STUCK_S
        parts = (self._subscriber, self._appender, self._republisher, self._tasks)
        return ticking and all(part.alive() for part in parts)

    def document(self, target: str) -> Document:
        """Return the accepted state of a target, empty if there is none."""
        if not self._workers:
            return {}
        return self._workers[partition_of(target)].replica.fold.documents.get(target, {})

    def documents(self) -> dict[str, Document]:
        """Return the accepted state of all targets."""
        return {t: d for worker in self._workers for t, d in worker.replica.fold.documents.items()}

    def parked(self) -> tuple[Parked, ...]:
        """Return the targets behind a record that this version cannot read, in the own log or in a chained input."""
        return tuple(parked for worker in self._workers for parked in worker.parked())

    def cursor(self, partition: int) -> Cursor:
        """Return how far the accepted log has consumed each input, empty before the restore."""
        return self._workers[partition].replica.fold.cursor if self._workers else {}

    def observe(self, event: Event, headers: Mapping[str, str] | None = None) -> None:
        """Feed something that this copy saw itself."""
        worker = self._workers[partition_of(event.target)]
        worker.observe(event, headers or {})
        worker.pump()

    async def _restore(self, cluster: str) -> Offsets:
        settings, spec = self._settings, self._spec
        workers, numbers = await restore_workers(settings, self._log, cluster, spec.chained, self._new_worker)
        for partition, number in numbers.items():
            self._snapshots.continue_after(partition, number)
        self._ticker.look()
        asked = monotonic()
        spans = await spans_of(settings, self._log.name, *self._sources)
        for partition, worker in enumerate(workers):
            ends = {place: end for place, (_, end) in spans.items() if place.partition == partition}
            self._ticker.follow(partition, TopicPartition(worker.log, partition), ends, asked)
            for target, document in worker.replica.fold.documents.items():
                try:
                    self._ticker.note(partition, target, document)
                except Exception:
                    # The record that did it was dead-lettered when it was accepted; the other targets go on.
                    log.exception("%s: the timers of the restored state are not armed", target)
        return starts_of(settings, self._log, self._sources, workers, spans)

    def _new_worker(self, partition: int, fold: Fold) -> PartitionWorker:
        hooks = Hooks(
            propose=lambda proposals: self._append(partition, proposals),
            accepted=lambda accepted, headers: self._on_accepted(partition, accepted, headers),
            received=lambda item: self._on_received(partition, item),
            foreign=self._on_foreign,
        )
        replica = Replica(fold, self._spec.decide, penstock.__version__, partition, self._failures)
        table = {named(self._settings, topic): topic for topic in (self._log.name, *self._sources)}
        worker = PartitionWorker(
            named(self._settings, self._log.name), replica, {}, table, hooks, seals_of(self._settings)
        )
        # Known from now on: what is folded to restore it reaches the hooks.
        self._workers.append(worker)
        return worker

    def _on_records(self, records: Sequence[ConsumerRecord]) -> None:
        touched = set()
        for record in records:
            self._workers[record.partition].read(record)
            touched.add(record.partition)
        for partition in touched:
            self._workers[partition].pump()

    def _append(self, partition: int, proposals: list[Write]) -> None:
        self._tasks.spawn(self._append_all(partition, proposals))

    async def _append_all(self, partition: int, proposals: list[Write]) -> None:
        worker = self._workers[partition]
        async with self._order[partition]:
            await self._append_in_order(worker, partition, proposals)

    async def _append_in_order(self, worker: PartitionWorker, partition: int, proposals: list[Write]) -> None:
        for proposal in proposals:
            headers = self._telemetry.decided(proposal.origin)
            try:
                future = await self._appender.append(
                    self._log.name, partition, proposal.target.encode(), proposal.value, list(headers.items())
                )
            except (AppendError, OversizeError) as error:
                if isinstance(error, OversizeError):
                    worker.replica.limit_size(len(proposal.value))
                worker.replica.resync()
                return

            def on_appended(
                done: "asyncio.Future[RecordMetadata]",
                proposal: Write = proposal,
                headers: dict[str, bytes] = headers,
            ) -> None:
                with self._tasks.guard():
                    worker.on_appended(proposal, headers, done)
                    worker.pump()

            future.add_done_callback(on_appended)

    def _on_accepted(self, partition: int, accepted: Accepted, headers: Mapping[str, bytes]) -> None:
        worker = self._workers[partition]
        self._republisher.offer(partition, accepted, headers)
        document = worker.replica.fold.documents.get(accepted.target, {})
        self._since_snapshot[partition] += 1
        if accepted.record is None:
            return
        if not worker.deciding:
            self._failures.restore(accepted.record, partition)
            return
        # It counts already, whatever follows from it here fails: the inputs behind it must not wait for a mended copy.
        with self._burying(partition, self._log.name, accepted.offset, accepted.value):
            self._follow_up(partition, accepted.target, accepted.record, document)

    def _follow_up(self, partition: int, target: str, record: Record, document: Document) -> None:
        self._ticker.note(partition, target, document)
        if record.time:
            # From the end of the window (or the command, or the timer) behind the decision until it counts.
            decided_at = datetime.fromisoformat(record.time)
            self._telemetry.elapsed(self.name, seconds_between(decided_at, self._clock()))
        if self._spec.accepted is not None and target:
            self._spec.accepted(target, record, document)

    def _on_received(self, partition: int, item: Item) -> None:
        if self._spec.received is not None:
            with self._burying(partition, item.source, item.offset, item.raw):
                self._spec.received(item)

    def _on_foreign(self, record: ConsumerRecord) -> None:
        reason = foreign(record)
        log.error("%s: find out who writes to this log", reason)
        # Every follower reads it; the service whose log it is keeps it for people to see.
        if record.topic == named(self._settings, self._log.name):
            self._tasks.spawn(self._bury(record, reason))

    @contextmanager
    def _burying(self, partition: int, source: str, offset: int, value: bytes) -> Iterator[None]:
        """Dead-letter the record at that place if the block raises, and go on."""
        try:
            yield
        except Exception as error:
            reason = fault_of(error, penstock.__version__)
            log.exception("%s-%d at offset %d: %s", source, partition, offset, self.name)
            record = record_at(named(self._settings, source), partition, offset, value)
            self._tasks.spawn(self._bury(record, reason))

    async def _bury(self, record: ConsumerRecord, reason: str) -> None:
        self._unburied[record.partition] += 1
        await dead_letter(self._appender, self.name, record, reason, patience=None)
        self._unburied[record.partition] -= 1

    async def _tick(self) -> None:
        assert self._subscriber is not None
        marked = monotonic()
        while True:
            await asyncio.sleep(_TICK_S)
            self._ticked = monotonic()
            mark = self._ticked - marked > _MARK_S
            marked = self._ticked if mark else marked
            self._report_clock_and_parked()
            for partition, worker in enumerate(self._workers):
                for event in self._ticker.due(partition, self._subscriber.sight):
                    worker.tick(event)
                worker.pump(mark)

    def _report_clock_and_parked(self) -> None:
        jump = self._ticker.look().total_seconds()
        if jump:
            log.error("the wall clock jumped by %+.1f s; timers wait for as long as they had left", jump)
            self._telemetry.level("clock.jump", jump)
        parked = set(self.parked())
        if parked != self._parked:
            for one in parked - (self._parked or set()):
                text = "%s is parked: %s has a record at offset %d that this version cannot read; run a newer one"
                log.error(text, *astuple(one))
            self._telemetry.level("parked", len(parked))
            self._parked = parked

    async def _keep_snapshots(self) -> None:
        # Apart from the timers: while the brokers are away, a snapshot waits for them.
        while True:
            await asyncio.sleep(_TICK_S)
            for partition, since in enumerate(self._since_snapshot):
                if since >= self._settings.snapshot_every:
                    await self._snapshot(partition)

    async def _snapshot(self, partition: int) -> None:
        since = self._since_snapshot[partition]
        if await self._snapshots.write(partition, lambda: self._readable(partition)):
            self._since_snapshot[partition] -= since

    def _readable(self, partition: int) -> Fold | None:
        # Not behind a record that this version cannot read: the version that can begins there. Nor while a dead letter
        # of a record of the log is on its way: read again, the record is dead-lettered again.
        worker = self._workers[partition]
        return None if any(worker.parked()) or self._unburied[partition] else worker.replica.fold
