"""The shell around a pure decider: restore from snapshot and log, follow the inputs, append, fold, republish, tick."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import RecordMetadata
from faststream.kafka import KafkaBroker

import penstock
from penstock.chain import Accepted, Cursor, Decide, Document, Fold, Item, Participant, Record, genesis
from penstock.chain.participant import Proposal
from penstock.errors import AppendError
from penstock.events import Event
from penstock.partitioner import partition_of
from penstock.settings import Settings
from penstock.telemetry import Telemetry, seconds_between
from penstock.topics import PARTITIONS, log_of

from .appender import Appender
from .kafka import ensure_topics, make_broker, named, read_span, retry_until_available
from .partition import Hooks, PartitionWorker
from .republisher import Republisher
from .service import Clock
from .snapshots import newest_generations, number_after, write_generation
from .subscriber import PositionedSubscriber
from .timers import Timers

_TICK_S = 0.1
_PATIENCE_S = 60.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Spec:
    """What makes a decider.

    Attributes:
        name: of the service, as in the table of topics.
        decide: the pure function.
        plain: unchained topics that it hears; chained: private logs of others that it folds.
        heard: called with each input as it arrives, before it is decided.
        accepted: called with (target, record, document) for every accepted record after the restore.
        restored: called once with all documents, before anything else.
    """

    name: str
    decide: Decide
    plain: tuple[str, ...] = ()
    chained: tuple[str, ...] = ()
    heard: Callable[[Item], None] | None = None
    accepted: Callable[[str, Record, Document], None] | None = None
    restored: Callable[[Mapping[str, Document]], None] | None = None


class DeciderShell:
    """A running copy of a decider over all partitions."""

    def __init__(self, spec: Spec, settings: Settings, clock: Clock) -> None:
        self.name = spec.name
        self._spec = spec
        self._settings = settings
        self._clock = clock
        self._log = log_of(spec.name)
        self._appender = Appender(settings)
        self._republisher = Republisher(settings, self._appender, self._log)
        self._telemetry = Telemetry.of(spec.name, settings)
        self._workers: list[PartitionWorker] = []
        self._timers = [Timers(f"/penstock/{spec.name}") for _ in range(PARTITIONS)]
        self._generations: dict[int, int] = {}
        self._since_snapshot = [0] * PARTITIONS
        self._order = [asyncio.Lock() for _ in range(PARTITIONS)]
        self._broker: KafkaBroker | None = None
        self._subscriber: PositionedSubscriber | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._ready = False

    async def start(self) -> None:
        """Restore every partition, then follow."""
        cluster = await retry_until_available(lambda: ensure_topics(self._settings), _PATIENCE_S)
        await self._appender.start()
        await self._restore(cluster)
        await self._republisher.start()
        if self._spec.restored is not None:
            self._spec.restored(
                {t: d for worker in self._workers for t, d in worker.participant.fold.documents.items()}
            )
        for worker in self._workers:
            worker.deciding = True
        self._broker = make_broker(self._settings)
        self._subscriber = PositionedSubscriber(self._broker, self._starts(), self._on_records)
        await self._broker.start()
        await self._subscriber.start()
        self._spawn(self._tick())
        self._ready = True

    async def stop(self) -> None:
        """Stop following, let what is in flight settle, disconnect."""
        self._ready = False
        if self._subscriber is not None:
            await self._subscriber.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._republisher.stop()
        await self._appender.stop()
        if self._broker is not None:
            await self._broker.stop()
        await asyncio.to_thread(self._telemetry.close)

    def ready(self) -> bool:
        """Whether the log is folded to the end that it had at the start."""
        return self._ready

    def alive(self) -> bool:
        """Whether the poll loop and the sender move."""
        return self._subscriber is None or (self._subscriber.alive() and self._appender.alive())

    def document(self, target: str) -> Document:
        """Return the accepted state of a target, empty if there is none."""
        if not self._workers:
            return {}
        return self._workers[partition_of(target)].participant.fold.documents.get(target, {})

    def documents(self) -> dict[str, Document]:
        """Return the accepted state of all targets."""
        return {t: d for worker in self._workers for t, d in worker.participant.fold.documents.items()}

    def cursor(self, partition: int) -> Cursor:
        """Return how far the accepted log has consumed each input, empty before the restore."""
        return self._workers[partition].participant.fold.cursor if self._workers else {}

    def parked(self) -> dict[str, int]:
        """Return targets behind a record that this version cannot read, with its offset."""
        return {t: o for worker in self._workers for t, o in worker.participant.fold.parked.items()}

    def observe(self, event: Event, headers: Mapping[str, str] | None = None) -> None:
        """Feed something that this copy saw itself."""
        worker = self._workers[partition_of(event.target)]
        worker.observe(event, headers or {})
        worker.pump()

    async def _restore(self, cluster: str) -> None:
        name = named(self._settings, self._log.name)
        generations = await newest_generations(self._settings, self._log)
        for partition in range(PARTITIONS):
            generation = generations.get(partition)
            fold = generation.fold if generation else Fold(genesis(cluster, name, partition))
            self._generations[partition] = generation.number if generation else 0
            self._workers.append(self._worker(partition, fold, cluster))
        starts = {
            TopicPartition(name, partition): worker.participant.fold.next_offset
            for partition, worker in enumerate(self._workers)
        }

        def fold_one(record: ConsumerRecord) -> None:
            self._workers[record.partition].take(record)

        await read_span(self._settings, starts, fold_one)
        for partition, worker in enumerate(self._workers):
            self._follow_inputs(worker, partition, cluster)
            for target, document in worker.participant.fold.documents.items():
                self._timers[partition].note(target, document)

    def _worker(self, partition: int, fold: Fold, cluster: str) -> PartitionWorker:
        hooks = Hooks(
            propose=lambda proposals: self._append(partition, proposals),
            accepted=lambda accepted, headers: self._on_accepted(partition, accepted, headers),
            heard=self._spec.heard or (lambda item: None),
        )
        participant = Participant(fold, self._spec.decide, penstock.__version__)
        table = {named(self._settings, topic): topic for topic in (*self._spec.plain, *self._spec.chained)}
        return PartitionWorker(named(self._settings, self._log.name), participant, {}, table, hooks)

    def _follow_inputs(self, worker: PartitionWorker, partition: int, cluster: str) -> None:
        worker.participant.rewind()
        for source in self._spec.chained:
            position = worker.participant.fold.cursor.get(source)
            start = genesis(cluster, named(self._settings, source), partition)
            head = position.head if position is not None and position.head is not None else start
            worker.chained[source] = Fold(head, position.next if position is not None else 0, stateful=False)

    def _starts(self) -> dict[TopicPartition, int]:
        starts = {}
        for partition, worker in enumerate(self._workers):
            fold = worker.participant.fold
            starts[TopicPartition(worker.log, partition)] = fold.next_offset
            for source in (*self._spec.plain, *self._spec.chained):
                position = fold.cursor.get(source)
                starts[TopicPartition(named(self._settings, source), partition)] = position.next if position else 0
        return starts

    def _on_records(self, records: Sequence[ConsumerRecord]) -> None:
        touched = set()
        for record in records:
            self._workers[record.partition].take(record)
            touched.add(record.partition)
        for partition in touched:
            self._workers[partition].pump()

    def _append(self, partition: int, proposals: list[Proposal]) -> None:
        self._spawn(self._append_all(partition, proposals))

    async def _append_all(self, partition: int, proposals: list[Proposal]) -> None:
        worker = self._workers[partition]
        async with self._order[partition]:
            await self._append_in_order(worker, partition, proposals)

    async def _append_in_order(self, worker: PartitionWorker, partition: int, proposals: list[Proposal]) -> None:
        for proposal in proposals:
            headers = self._telemetry.decided(proposal.item)
            try:
                future = await self._appender.append(
                    self._log.name, partition, proposal.target.encode(), proposal.value, list(headers.items())
                )
            except AppendError:
                worker.participant.rewind()
                return

            def settle(
                done: "asyncio.Future[RecordMetadata]",
                proposal: Proposal = proposal,
                headers: dict[str, bytes] = headers,
            ) -> None:
                worker.settle(proposal, headers, done)
                worker.pump()

            future.add_done_callback(settle)

    def _on_accepted(self, partition: int, accepted: Accepted, headers: Mapping[str, bytes]) -> None:
        worker = self._workers[partition]
        self._republisher.offer(partition, accepted, headers)
        document = worker.participant.fold.documents.get(accepted.target, {})
        self._since_snapshot[partition] += 1
        if not worker.deciding or accepted.record is None:
            return
        self._timers[partition].note(accepted.target, document)
        if accepted.record.time:
            # From the end of the window (or the command, or the timer) behind the decision until it counts.
            decided_at = datetime.fromisoformat(accepted.record.time)
            self._telemetry.elapsed(self.name, seconds_between(decided_at, self._clock()))
        if self._spec.accepted is not None:
            self._spec.accepted(accepted.target, accepted.record, document)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            now = self._clock()
            for partition, worker in enumerate(self._workers):
                for event in self._timers[partition].due(now):
                    worker.tick(event)
                worker.pump()
                if self._since_snapshot[partition] >= self._settings.snapshot_every:
                    await self._snapshot(partition)

    async def _snapshot(self, partition: int) -> None:
        # Only what has been said may be snapshotted: a restart reads the log, and so what is left to say, from here on.
        fold = self._workers[partition].participant.fold
        if not self._republisher.idle(partition) or fold.parked:
            return
        self._since_snapshot[partition] = 0
        number = self._generations[partition] = number_after(self._generations[partition], fold)
        try:
            await write_generation(self._appender, self._log, partition, number, fold)
        except (AppendError, KafkaError) as error:
            log.warning("%s-%d: no snapshot: %s", self._log.name, partition, error)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
