"""The partitions that this copy owns: restores them, appends to their log, and writes snapshots."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

import penstock
from penstock.chain import Accepted, Fold
from penstock.chain.failures import fault_of
from penstock.errors import AppendError, InvalidError, UnavailableError
from penstock.settings import Settings
from penstock.topics import log_of
from services.metric_ingestion.partitions.owner import FRAMES, Append, Owner
from services.metric_ingestion.partitions.poller import GroupPoller
from services.metric_ingestion.partitions.restore import NAME, restore_owners
from services.metric_ingestion.selection.watch import Watched
from services.runtime.kafka.appender import Appender
from services.runtime.kafka.connection import connection, named
from services.runtime.kafka.dead_letters import dead_letter, foreign, record_at
from services.runtime.kafka.positions import first_and_end_offsets
from services.runtime.kafka.republisher import Republisher
from services.runtime.kafka.snapshots import Snapshots
from services.runtime.process.tasks import Tasks

_AFTER_ERROR_S = 0.3
_SLOW_S = 1.0
_AT_ONCE = 20
_FRAMES_BETWEEN_SNAPSHOTS = 20_000

log = logging.getLogger(__name__)

Headers = Mapping[str, bytes]


class Partitions:
    """The owners by partition, and their appends and acknowledgements.

    Args:
        headers: trace headers of a record to append.
        accepted: called with every accepted record of ours.
        struggles: whether received samples still wait for Kafka; while they do, the clock closes no window.
    """

    def __init__(
        self,
        settings: Settings,
        cluster: str,
        appender: Appender,
        republisher: Republisher,
        headers: Callable[[Append], Headers],
        accepted: Callable[[Accepted], None],
        struggles: Callable[[], bool],
    ) -> None:
        self._settings = settings
        self._cluster = cluster
        self._appender = appender
        self._republisher = republisher
        self._headers = headers
        self._accepted = accepted
        self._struggles = struggles
        self._log = log_of(NAME)
        self._lateness = round(settings.lateness * 1e9)
        self._owners: dict[int, Owner] = {}
        self._restoring: set[int] = set()
        self._snapshots = Snapshots(appender, republisher, self._log)
        self._reported: dict[int, set[str]] = {}
        self._snapshotted: dict[int, tuple[int, int]] = {}
        self._queue: asyncio.Queue[tuple[int, Owner, Append]] = asyncio.Queue()
        self._tasks = Tasks(f"{NAME}, appending windows,")
        self._patient_until = 0.0
        self._confirming = False
        self.assigned_once = False
        self.poller: GroupPoller | None = None

    def start(self, poller: GroupPoller) -> None:
        """Start appending; `poller` reads the frames."""
        self.poller = poller
        self._tasks.spawn(self._send(), lasting=True)

    async def stop(self) -> None:
        """Wait for acknowledgements in flight, write a snapshot of every partition, and stop."""
        for _ in range(100):
            if self._queue.empty() and not any(owner.in_flight for owner in self._owners.values()):
                break
            await asyncio.sleep(0.02)
        # A copy of the dict: a restore that ends during the loop adds to it.
        for partition, owner in list(self._owners.items()):
            await self._snapshot(partition, owner)
        await self._tasks.stop()

    def ready(self) -> bool:
        """Whether every partition that is ours has been restored."""
        replaying = any(owner.replaying for owner in self._owners.values())
        return self.assigned_once and not self._restoring and not replaying

    def alive(self) -> bool:
        """Whether appending, restoring and everything else in the background goes on."""
        return self._tasks.alive()

    def assign(self, partitions: Iterable[int]) -> None:
        """Restore partitions that are newly assigned."""
        new = set(partitions)
        self._drop(new)
        self.assigned_once = True
        if new:
            self._restoring |= new
            self._tasks.spawn(self._restore(new))

    def revoke(self, partitions: Iterable[int]) -> None:
        """Drop partitions that are revoked; their next owner reads what was in flight."""
        self._drop(set(partitions))
        self._restoring -= set(partitions)

    async def receive(self, records: Sequence[ConsumerRecord]) -> None:
        """Add the frames of one poll, then close the windows that they made due."""
        touched: dict[int, Owner] = {}
        for number, record in enumerate(records, 1):
            if number % _AT_ONCE == 0:
                # A long backlog must not delay requests, which share this event loop.
                await asyncio.sleep(0)
            owner = self._owners.get(record.partition)
            if owner is None or record.offset < owner.position:
                continue
            if record.offset > owner.position:
                await self._seek_back(record.partition, owner)
                continue
            touched[record.partition] = owner
            try:
                owner.receive(record.offset, record.value or b"", (record.key or b"").decode(errors="replace"))
            except InvalidError as error:
                # Written before the position is recorded: a crash in between must not lose it.
                await dead_letter(self._appender, NAME, record, str(error))
            except Exception as error:
                log.exception("%s-%d at offset %d", record.topic, record.partition, record.offset)
                await dead_letter(self._appender, NAME, record, fault_of(error, penstock.__version__))
        for partition, owner in touched.items():
            self._propose(partition, owner, owner.decide(self._lateness, None))
            self._report_faults(partition, owner)

    def tick(self, now: int, watched: Callable[[int], Iterable[Watched]]) -> None:
        """Put new plans in force, close what the clock has made due, keep snapshots."""
        due: dict[int, Owner] = {}
        for partition, owner in list(self._owners.items()):
            for plan in watched(partition):
                self._propose(partition, owner, owner.apply_plan(plan, now))
            if owner.overdue(self._lateness, now):
                due[partition] = owner
            self._report_faults(partition, owner)
            if self._snapshot_is_due(partition, owner):
                self._tasks.spawn(self._snapshot(partition, owner))
        if self._struggles():
            self._patient_until = asyncio.get_running_loop().time() + self._settings.lateness
        if due and not self._confirming and asyncio.get_running_loop().time() >= self._patient_until:
            self._confirming = True
            self._tasks.spawn(self._close_by_clock(due, now))

    def _report_faults(self, partition: int, owner: Owner) -> None:
        """Dead-letter what this version fails on for one target: its windows close no more, all others do."""
        reported = self._reported.setdefault(partition, set())
        for target in owner.faults.keys() - reported:
            reported.add(target)
            error = owner.faults[target]
            log.error("%s: no window of it is closed until a version that can is started", target, exc_info=error)
            record = record_at(named(self._settings, FRAMES), partition, owner.position - 1, target.encode())
            reason = f"{target}: no window is closed until the service is restarted: "
            reason += fault_of(error, penstock.__version__)
            self._tasks.spawn(dead_letter(self._appender, NAME, record, reason))

    async def _close_by_clock(self, due: Mapping[int, Owner], now: int) -> None:
        # Only when Kafka, asked after the windows' end, holds no frame that is unread here: while it is away, the
        # points of these windows wait to be published; once it is back, they get the lateness they would have had.
        asked = asyncio.get_running_loop().time()
        try:
            ends = await self.poller.ends(due) if self.poller is not None else {}
        except KafkaError as error:
            log.warning("no window is closed by the clock: %s", type(error).__name__)
            ends = {}
        finally:
            self._confirming = False
        answered = asyncio.get_running_loop().time()
        if not ends or answered - asked > _SLOW_S:
            self._patient_until = answered + self._settings.lateness
            return
        for partition, owner in due.items():
            if self._owners.get(partition) is owner and owner.position >= ends[partition] and not owner.in_flight:
                self._propose(partition, owner, owner.decide(self._lateness, now))

    def _propose(self, partition: int, owner: Owner, appends: Iterable[Append]) -> None:
        for append in appends:
            self._queue.put_nowait((partition, owner, append))

    async def _send(self) -> None:
        while True:
            partition, owner, append = await self._queue.get()
            if self._owners.get(partition) is not owner:
                continue
            headers = self._headers(append)
            try:
                future = await self._appender.append(
                    self._log.name, partition, append.target.encode(), append.value, tuple(headers.items())
                )
            except AppendError as error:
                self._lose(partition, owner, error)
                continue
            future.add_done_callback(partial(self._on_appended, partition, owner, append, headers))

    def _on_appended(
        self, partition: int, owner: Owner, append: Append, headers: Headers, future: "asyncio.Future[Any]"
    ) -> None:
        with self._tasks.guard():
            self._acknowledge(partition, owner, append, headers, future)

    def _acknowledge(
        self, partition: int, owner: Owner, append: Append, headers: Headers, future: "asyncio.Future[Any]"
    ) -> None:
        if self._owners.get(partition) is not owner:
            return
        error = None if future.cancelled() else future.exception()
        if future.cancelled() or error is not None:
            self._lose(partition, owner, error)
            return
        try:
            accepted = owner.acknowledge(append, future.result().offset)
        except AppendError as rejected:
            self._lose(partition, owner, rejected)
            return
        self._republisher.offer(partition, accepted, headers)
        self._accepted(accepted)

    def _lose(self, partition: int, owner: Owner, error: BaseException | None) -> None:
        if self._owners.get(partition) is owner:
            log.warning("%s-%d is restored: %s", self._log.name, partition, error or "an append was cancelled")
            self._restoring.add(partition)
            self._drop({partition})
            self._tasks.spawn(self._restore({partition}))

    def _drop(self, partitions: set[int]) -> None:
        for partition in partitions:
            self._owners.pop(partition, None)
            self._reported.pop(partition, None)

    async def _restore(self, partitions: set[int]) -> None:
        while partitions:
            try:
                owners, numbers = await restore_owners(
                    self._settings, self._cluster, partitions, self._republisher.offer, self._dead_letter_foreign
                )
            except (KafkaError, UnavailableError, OSError) as error:
                log.warning("restoring failed, trying again: %s", type(error).__name__)
                await asyncio.sleep(_AFTER_ERROR_S)
                continue
            for partition, owner in owners.items():
                if self.poller is not None and self.poller.resume(partition, owner.position):
                    self._owners[partition] = owner
                    self._snapshots.continue_after(partition, numbers[partition])
                    self._snapshotted[partition] = (owner.fold.next_offset, owner.position)
            self._restoring -= partitions
            return

    async def _dead_letter_foreign(self, record: ConsumerRecord) -> None:
        await dead_letter(self._appender, NAME, record, foreign(record))

    async def _seek_back(self, partition: int, owner: Owner) -> None:
        # Either the consumer's own reset overtook our seek, or retention has overtaken us.
        place = TopicPartition(named(self._settings, FRAMES), partition)
        firsts, _ = await first_and_end_offsets(connection(self._settings), [place])
        if firsts[place] > owner.position:
            log.error("%s: frames %d to %d are gone unread", place, owner.position, firsts[place])
            owner.start_at(firsts[place])
        if self.poller is not None:
            self.poller.resume(partition, owner.position)

    def _snapshot_is_due(self, partition: int, owner: Owner) -> bool:
        records, position = self._snapshotted[partition]
        enough = owner.fold.next_offset - records >= self._settings.snapshot_every
        return enough or owner.position - position >= _FRAMES_BETWEEN_SNAPSHOTS

    async def _snapshot(self, partition: int, owner: Owner) -> None:
        def current() -> Fold | None:
            fold = owner.snapshot()
            if fold is not None:
                self._snapshotted[partition] = (owner.fold.next_offset, owner.position)
            return fold

        await self._snapshots.write(partition, current)
