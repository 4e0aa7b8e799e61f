"""Snapshots of a log: writes them in numbered generations and finds the newest complete one of each partition."""

import logging
from collections import defaultdict
from collections.abc import Callable

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from penstock.chain import Fold, Generation, assemble, disassemble
from penstock.errors import AppendError, OversizeError
from penstock.settings import Settings
from penstock.topics import PARTITIONS, Topic, snapshots_of
from services.runtime.kafka.appender import Appender
from services.runtime.kafka.connection import named, read_span
from services.runtime.kafka.republisher import Republisher
from services.runtime.kafka.seals import seals_of

log = logging.getLogger(__name__)


async def newest_generations(settings: Settings, log_topic: Topic) -> dict[int, Generation]:
    """Return the newest complete generation by partition; partitions without one are absent."""
    name = named(settings, snapshots_of(log_topic).name)
    latest: dict[int, dict[bytes, bytes]] = defaultdict(dict)
    seals = seals_of(settings)

    def keep(record: ConsumerRecord) -> None:
        if (problem := seals.problem(record, chained=True)) is not None:
            log.error("%s-%d@%d is no snapshot of ours: %s", record.topic, record.partition, record.offset, problem)
            return
        if record.key is not None and record.value is not None:
            latest[record.partition][record.key] = record.value

    await read_span(settings, {TopicPartition(name, partition): 0 for partition in range(PARTITIONS)}, keep)
    found = {partition: assemble(values.values()) for partition, values in latest.items()}
    return {partition: generation for partition, generation in found.items() if generation is not None}


class Snapshots:
    """Writes the snapshots of one service's log, once everything in them is published.

    Args:
        log_topic: the log, of the table.
    """

    def __init__(self, appender: Appender, republisher: Republisher, log_topic: Topic) -> None:
        self._appender = appender
        self._republisher = republisher
        self._log = log_topic
        self._numbers: dict[int, int] = {}

    def continue_after(self, partition: int, number: int) -> None:
        """Number the next generation of a partition after the one that it was restored from, 0 for none."""
        self._numbers[partition] = number

    async def write(self, partition: int, current: Callable[[], Fold | None]) -> bool:
        """Write a generation of what `current` returns.

        Returns:
            False where it must wait: decisions are not published yet, or `current` has nothing consistent (None). A
            restart publishes only what the log holds after the snapshot. True also where Kafka did not take it, for
            the next generation replaces it.
        """
        fold = current() if self._republisher.idle(partition) else None
        if fold is None:
            return False
        number = self._numbers[partition] = _number_after(self._numbers.get(partition, 0), fold)
        try:
            # Encoded whole before the first await: the fold moves on while the messages travel.
            messages, topic = list(disassemble(fold, number)), snapshots_of(self._log).name
            futures = [await self._appender.append(topic, partition, key.encode(), value) for key, value in messages]
            for future in futures:
                await future
        except (AppendError, OversizeError, KafkaError) as error:
            log.warning("%s-%d: no snapshot: %s", self._log.name, partition, error)
        return True


def _number_after(previous: int, fold: Fold) -> int:
    """Return the number of the next generation.

    It follows from the place in the log, so that two copies of a service never give one number to two states. Its
    parity differs from that of `previous`: the keys alternate, and the previous generation stays whole until then.
    """
    return 2 * fold.next_offset + (1 - previous % 2)
