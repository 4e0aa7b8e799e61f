"""Follows the plans and rollouts of the cluster and keeps the current compiled selector."""

import asyncio
import logging
from collections.abc import Callable

from aiokafka import ConsumerRecord

import penstock
from penstock.chain.failures import fault_of
from penstock.partitioner import partition_of
from penstock.settings import Settings
from services.metric_ingestion.selection.arrivals import Arrivals
from services.metric_ingestion.selection.match import Matcher
from services.metric_ingestion.selection.select import Selector
from services.metric_ingestion.selection.watch import Watch, Watched
from services.runtime.kafka.connection import KafkaAwayError, named
from services.runtime.kafka.dead_letters import record_at
from services.runtime.kafka.reader import Heard, PublicReader

_POLL_S = 0.02
_PATIENCE_S = 60.0

log = logging.getLogger(__name__)


class Registry:
    """What is watched, as far as it has been read.

    Attributes:
        selector: None until the topics are read up to their ends at the start.
    """

    def __init__(self, settings: Settings, refused: Callable[[ConsumerRecord, str], None] | None = None) -> None:
        """Follow the topics of these settings; `refused` is called with a record that it cannot use, and the reason."""
        self._settings = settings
        self._refused = refused
        self._reader = PublicReader(settings, ("plans", "rollouts"), self._on_event, on_refused=refused)
        self._causes: dict[str, Heard] = {}
        self._watch = Watch()
        self._read = False
        self._arrivals = Arrivals()
        self._plans: dict[int, dict[str, Watched]] = {}
        self._by_partition: dict[int, tuple[Watched, ...]] = {}
        self.selector: Selector | None = None

    async def start(self) -> None:
        """Read to the end that the topics have now, then follow.

        Raises:
            KafkaAwayError: that end is not reached.
        """
        await self._reader.start()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _PATIENCE_S
        while not self._reader.caught_up():
            if loop.time() > deadline:
                raise KafkaAwayError("the plans could not be read to their end within a minute")
            await asyncio.sleep(_POLL_S)
        for name, problem in self._watch.unloadable.items():
            log.warning("not watched: %s: %s", name, problem)
        self._read = True
        self._compile()

    async def stop(self) -> None:
        """Stop following."""
        await self._reader.stop()

    def alive(self) -> bool:
        """Whether the reader moves."""
        return self._reader.alive()

    def watched_in(self, partition: int) -> tuple[Watched, ...]:
        """Return the watched targets of a partition; empty until all was read."""
        return self._by_partition.get(partition, ())

    def current_selector(self) -> Selector:
        """Return the selector; valid only after `start`."""
        assert self.selector is not None
        return self.selector

    def _on_event(self, heard: Heard) -> None:
        if not self._watch.fold(heard.event):
            return
        if self._read:
            self._compile_target(heard.event.target)
        else:
            self._causes[heard.event.target] = heard

    def _compile_target(self, target: str) -> None:
        """Compile one target again: compiling thousands at once would block the event loop for seconds."""
        watched, partition = self._watch.of(target), partition_of(target)
        matcher = None if watched is None else Matcher(watched)
        plans = self._plans.setdefault(partition, {})
        if watched is None:
            plans.pop(target, None)
        else:
            plans[target] = watched
        self._by_partition[partition] = tuple(plans.values())
        self.current_selector().put(target, matcher)

    def _compile(self) -> None:
        matchers = []
        for watched in self._watch.all():
            try:
                matchers.append(Matcher(watched))
            except Exception as error:
                self._refuse(watched.target, error)
            else:
                self._plans.setdefault(partition_of(watched.target), {})[watched.target] = watched
        self._causes.clear()
        self._by_partition = {partition: tuple(plans.values()) for partition, plans in self._plans.items()}
        self.selector = Selector(matchers, self._arrivals)

    def _refuse(self, target: str, error: Exception) -> None:
        log.error("%s is not watched", target, exc_info=error)
        cause = self._causes.get(target)
        if self._refused is not None and cause is not None:
            record = record_at(named(self._settings, cause.topic), cause.partition, cause.offset, b"")
            self._refused(record, fault_of(error, penstock.__version__))
