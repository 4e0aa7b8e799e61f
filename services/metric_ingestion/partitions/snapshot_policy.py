"""When a partition's memory is snapshotted, and under which number."""

import logging

from aiokafka.errors import KafkaError

from penstock.errors import AppendError, OversizeError
from penstock.settings import Settings
from penstock.topics import log_of
from services.metric_ingestion.partitions.owner import Owner
from services.metric_ingestion.partitions.restore import NAME
from services.runtime.decider.snapshots import number_after, write_generation
from services.runtime.kafka.appender import Appender
from services.runtime.kafka.republisher import Republisher

_FRAMES_BETWEEN = 20_000

log = logging.getLogger(__name__)


class Keeper:
    """Keeps snapshots of the partitions of this copy."""

    def __init__(self, settings: Settings, appender: Appender, republisher: Republisher) -> None:
        self._every = settings.snapshot_every
        self._appender = appender
        self._republisher = republisher
        self._log = log_of(NAME)
        self._numbers: dict[int, int] = {}
        self._kept: dict[int, tuple[int, int]] = {}

    def began(self, partition: int, owner: Owner, number: int) -> None:
        """Note a restored owner and the number of the snapshot that it came from."""
        self._numbers[partition] = number
        self._kept[partition] = (owner.fold.next_offset, owner.position)

    def is_due(self, partition: int, owner: Owner) -> bool:
        """Whether enough has happened since the last snapshot."""
        records, position = self._kept[partition]
        return owner.fold.next_offset - records >= self._every or owner.position - position >= _FRAMES_BETWEEN

    async def keep(self, partition: int, owner: Owner) -> None:
        """Write a snapshot, unless memory is ahead of the log or what is public behind it."""
        # Only what has been said may be snapshotted: a restart says what the log holds from here on.
        fold = owner.snapshot() if self._republisher.idle(partition) else None
        if fold is None:
            return
        self._kept[partition] = (owner.fold.next_offset, owner.position)
        number = number_after(self._numbers[partition], fold)
        self._numbers[partition] = number
        try:
            await write_generation(self._appender, self._log, partition, number, fold)
        except (AppendError, OversizeError, KafkaError) as error:
            log.warning("%s-%d: no snapshot: %s", self._log.name, partition, error)
