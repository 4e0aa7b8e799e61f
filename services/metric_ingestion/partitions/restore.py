"""Restores a partition: load the snapshot, replay the log, then read the frames after the snapshot's position."""

from collections.abc import Awaitable, Callable, Iterable, Mapping

from aiokafka import ConsumerRecord, TopicPartition

import penstock
from penstock.chain import Accepted, Fold, genesis
from penstock.settings import Settings
from penstock.topics import log_of
from services.metric_ingestion.partitions.owner import FRAMES, Owner
from services.runtime.kafka.connection import connection, named, read_span
from services.runtime.kafka.positions import first_and_end_offsets
from services.runtime.kafka.seals import seals_of
from services.runtime.kafka.snapshots import newest_generations

NAME = "metric_ingestion"

Offer = Callable[[int, Accepted, Mapping[str, bytes]], None]


async def restore_owners(
    settings: Settings,
    cluster: str,
    partitions: Iterable[int],
    offer: Offer,
    foreign: Callable[[ConsumerRecord], Awaitable[None]],
) -> tuple[dict[int, Owner], dict[int, int]]:
    """Return the owners of these partitions and the numbers of the snapshots that they come from.

    Args:
        offer: called with every accepted record after the snapshot, which may not be published yet.
        foreign: called with records in the log that Penstock did not write.
    """
    log = log_of(NAME)
    name, frames = named(settings, log.name), named(settings, FRAMES)
    generations = await newest_generations(settings, log)
    owners: dict[int, Owner] = {}
    for partition in sorted(partitions):
        kept = generations.get(partition)
        fold = kept.fold if kept else Fold(genesis(cluster, name, partition))
        owners[partition] = Owner(fold, penstock.__version__)
        if kept is not None:
            owners[partition].restore()

    seals = seals_of(settings)

    async def fold_one(record: ConsumerRecord) -> None:
        owner = owners[record.partition]
        value = record.value or b"" if seals.problem(record, chained=True) is None else b""
        accepted = owner.fold_record(record.offset, value)
        if accepted is not None:
            offer(record.partition, accepted, dict(record.headers))
        elif record.offset in owner.fold.foreign:
            await foreign(record)

    starts = {TopicPartition(name, partition): owner.fold.next_offset for partition, owner in owners.items()}
    await read_span(settings, starts, fold_one)
    places = [TopicPartition(frames, partition) for partition in owners]
    firsts, _ = await first_and_end_offsets(connection(settings), places)
    for partition, owner in owners.items():
        owner.start_at(firsts[TopicPartition(frames, partition)])
    numbers = {p: generations[p].number if p in generations else 0 for p in owners}
    return owners, numbers
