"""Applies what the flag log accepts: to what clients are served, to the disk, and to the requests that wait."""

import time
from collections.abc import Callable, Mapping

from penstock.chain import Document, Item, Record
from penstock.events import RollbackStarted, RolloutSuperseded
from services.flag_control.decide import EXPOSING
from services.flag_control.fallback.kill_spool import KillSpool
from services.flag_control.fallback.last_good import LastGood
from services.flag_control.fallback.last_good_writer import LastGoodWriter
from services.flag_control.fallback.start_without_kafka import StartWithoutKafka
from services.flag_control.log_follower import ROLLOUT_LOG
from services.flag_control.operations import FlagOperations
from services.flag_control.publisher import Publisher
from services.flag_control.redis_view import RedisView
from services.flag_control.request_publisher import RequestPublisher
from services.flag_control.served_reports import ServedReports

Covers = Callable[[str, str, int], bool]
"""(target, topic, offset): whether the accepted log has decided what that offset of an input holds."""


class LogEffects:
    """Observes the log; every effect of it is in these five methods.

    Attributes:
        is_restored: the log is folded to its end.
    """

    def __init__(
        self,
        publisher: Publisher,
        covers: Covers,
        last_good: LastGood,
        writer: LastGoodWriter,
        spool: KillSpool,
        requests: RequestPublisher,
        reports: ServedReports,
        operations: FlagOperations,
        fallback: StartWithoutKafka,
        view: RedisView | None,
    ) -> None:
        self._publisher = publisher
        self._covers = covers
        self._last_good = last_good
        self._writer = writer
        self._spool = spool
        self._requests = requests
        self._reports = reports
        self._operations = operations
        self._fallback = fallback
        self._view = view
        self._received_at: dict[str, float] = {}
        self.is_restored = False

    def restarted(self) -> None:
        """Go on serving the same flags: Kafka went away after the restore, and the next shell has read nothing."""
        if self.is_restored:
            self.is_restored = False
            self._publisher.serve_on()

    def received(self, item: Item) -> None:
        """Lower the exposure at once: the rollback is accepted in its own log, and needs no second decision."""
        for event in item.events:
            if isinstance(event, EXPOSING):
                self._received_at[event.id] = time.monotonic()
                if isinstance(event, RollbackStarted | RolloutSuperseded) and self._publisher.knows(item.target):
                    self._publisher.lower(event, item.offset)
                    self._writer.changed(item.target)

    def restored(self, documents: Mapping[str, Document]) -> None:
        """Serve from the log; write and report what it holds."""
        self.is_restored = True
        self._publisher.release(documents, lambda target, offset: self._covers(target, ROLLOUT_LOG, offset))
        served = [target for target in documents if self._publisher.knows(target)]
        self._writer.changed(*served, *(self._last_good.targets - documents.keys()))
        self._reports.restored({target: self._publisher.state(target) for target in served})

    def followed(self) -> None:
        """Publish the kills from the disk; until the inputs are followed too, an instance takes kills only."""
        self._fallback.end()
        for kill in self._spool.load():
            self._requests.submit(kill)
        if self._view is not None:
            self._view.changed(*self._publisher.targets)

    def accepted(self, target: str, record: Record, document: Document) -> None:
        """Serve, write and report a target's new state, and answer those who asked for it."""
        decided = ids_of(record)
        self._publisher.apply_accepted(target, frozenset(decided))
        self._operations.answer(decided, record.events)
        self._writer.changed(target)
        since = min((self._received_at.pop(event, time.monotonic()) for event in decided), default=time.monotonic())
        # A refusal names no version: nothing that clients are served has changed.
        if any("version" in fact for fact in record.events):
            self._reports.changed(target, self._publisher.state(target), record.events[-1]["id"], since)
            if self._view is not None:
                self._view.changed(target)


def ids_of(record: Record) -> tuple[str, ...]:
    """Return the ids of the inputs that a record decides; bytes that were no event have none."""
    found = [event.get("id") for consumed in record.inputs for event in consumed.events]
    return tuple(event for event in found if isinstance(event, str))
