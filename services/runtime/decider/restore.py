"""Restores a decider's partitions: load the snapshot, replay the log, then read inputs from where it left off."""

from collections.abc import Callable, Sequence

from aiokafka import ConsumerRecord, TopicPartition

from penstock.chain import Fold, genesis
from penstock.settings import Settings
from penstock.topics import BY_NAME, PARTITIONS, Topic
from services.runtime.decider.partition import PartitionWorker
from services.runtime.kafka.connection import connection, named, read_span
from services.runtime.kafka.positions import Offsets, Spans, beginning, first_and_end_offsets
from services.runtime.kafka.snapshots import newest_generations

Make = Callable[[int, Fold], PartitionWorker]


async def spans_of(settings: Settings, *topics: str) -> Spans:
    """Return first offset and end of every partition of these topics, as they are now."""
    places = [TopicPartition(named(settings, topic), p) for topic in topics for p in range(PARTITIONS)]
    firsts, ends = await first_and_end_offsets(connection(settings), places)
    return {place: (firsts[place], ends[place]) for place in places}


async def restore_workers(
    settings: Settings, log: Topic, cluster: str, chained: Sequence[str], make: Make
) -> tuple[list[PartitionWorker], dict[int, int]]:
    """Return the workers of all partitions, folded to the end of their log, and the numbers of their snapshots.

    Raises:
        EvidenceExpiredError: a log no longer holds what its snapshot does not cover.
    """
    name = named(settings, log.name)
    generations = await newest_generations(settings, log)
    # Asked behind the snapshots: another copy goes on at the same time.
    spans = await spans_of(settings, log.name)
    workers, starts = [], {}
    for partition in range(PARTITIONS):
        place, generation = TopicPartition(name, partition), generations.get(partition)
        fold = generation.fold if generation else Fold(genesis(cluster, name, partition))
        starts[place] = beginning(place, log, fold.next_offset, spans[place], log.name)
        workers.append(make(partition, fold))

    def fold_one(record: ConsumerRecord) -> None:
        workers[record.partition].read(record)

    await read_span(settings, starts, fold_one)
    for partition, worker in enumerate(workers):
        worker.replica.resync()
        for source in chained:
            worker.chained[source] = _follow(worker, source, genesis(cluster, named(settings, source), partition))
    return workers, {partition: generation.number for partition, generation in generations.items()}


def starts_of(
    settings: Settings, log: Topic, sources: Sequence[str], workers: Sequence[PartitionWorker], spans: Spans
) -> Offsets:
    """Return where to go on in the own log and in every input.

    Raises:
        EvidenceExpiredError: an input no longer holds what the log has not consumed.
    """
    starts = {}
    for partition, worker in enumerate(workers):
        fold = worker.replica.fold
        starts[TopicPartition(worker.log, partition)] = fold.next_offset
        for source in sources:
            place, position = TopicPartition(named(settings, source), partition), fold.cursor.get(source)
            wanted = position.next if position is not None else None
            starts[place] = beginning(place, BY_NAME[source], wanted, spans[place], log.name)
    return starts


def _follow(worker: PartitionWorker, source: str, start: str) -> Fold:
    position = worker.replica.fold.cursor.get(source)
    head = position.head if position is not None and position.head is not None else start
    at = position.next if position is not None else 0
    return Fold(head, at, parked=dict(worker.unreadable.get(source, {})), stateful=False)
