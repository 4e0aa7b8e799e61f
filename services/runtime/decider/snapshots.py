"""Where a log's snapshot generations are kept, and how the newest complete one of each partition is found again."""

from collections import defaultdict

from aiokafka import ConsumerRecord, TopicPartition

from penstock.chain import Document, Fold, Generation, assemble, disassemble
from penstock.settings import Settings
from penstock.topics import PARTITIONS, Topic, snapshots_of
from services.runtime.kafka.appender import Appender
from services.runtime.kafka.connection import named, read_span


async def newest_generations(settings: Settings, log: Topic) -> dict[int, Generation]:
    """Return the newest complete generation by partition; partitions without one are absent."""
    name = named(settings, snapshots_of(log).name)
    latest: dict[int, dict[bytes, bytes]] = defaultdict(dict)

    def keep(record: ConsumerRecord) -> None:
        if record.key is not None and record.value is not None:
            latest[record.partition][record.key] = record.value

    await read_span(settings, {TopicPartition(name, partition): 0 for partition in range(PARTITIONS)}, keep)
    found = {partition: assemble(values.values()) for partition, values in latest.items()}
    return {partition: generation for partition, generation in found.items() if generation is not None}


def number_after(previous: int, fold: Fold) -> int:
    """Return the number of the next generation: by its place in the log, so that two copies of a service never give one
    number to two states, and on the other side of the keys than `previous`, which stays whole meanwhile."""
    return 2 * fold.next_offset + (1 - previous % 2)


async def write_generation(
    appender: Appender, log: Topic, partition: int, number: int, fold: Fold, extra: Document | None = None
) -> None:
    """Write one generation of a partition; it counts once its marker, the last message, is acknowledged."""
    topic = snapshots_of(log).name
    # Taken whole before the first await: the fold moves on while the messages travel.
    messages = list(disassemble(fold, number, extra))
    futures = [await appender.append(topic, partition, key.encode(), value) for key, value in messages]
    for future in futures:
        await future
