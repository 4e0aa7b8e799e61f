"""Where partitions begin and end, asked in one go, and what it means where that is too late."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from penstock.errors import EvidenceExpiredError
from penstock.topics import FOREVER_MS, Kind, Topic

log = logging.getLogger(__name__)

Offsets = dict[TopicPartition, int]
Spans = Mapping[TopicPartition, tuple[int, int]]


async def first_and_end_offsets(
    arguments: Mapping[str, Any], partitions: Sequence[TopicPartition]
) -> tuple[Offsets, Offsets]:
    """Return the first offset that retention has left, and the next one to be written, by partition."""
    consumer = AIOKafkaConsumer(**arguments, enable_auto_commit=False)
    await consumer.start()
    try:
        firsts = await consumer.beginning_offsets(list(partitions))
        ends = await consumer.end_offsets(list(partitions))
        return dict(firsts), dict(ends)
    finally:
        await consumer.stop()


def beginning(place: TopicPartition, topic: Topic, wanted: int | None, span: tuple[int, int], log_name: str) -> int:
    """Return where to begin to read a partition.

    Args:
        topic: of the table; place: its partition in Kafka.
        wanted: the first offset that is not consumed yet, None where nothing was ever consumed.
        span: the first offset that there still is, and the next one to be written: 0 and 0 where nothing ever was.
        log_name: of the log whose snapshots know how far this partition was consumed.

    Raises:
        EvidenceExpiredError: records that nothing can stand in for are gone.
    """
    (first, end), at = span, wanted or 0
    if first <= at <= end:
        return at
    if at > end:
        raise EvidenceExpiredError(
            f"{place.topic}-{place.partition} ends at offset {end}, but {log_name} has consumed it up to {at}: it was "
            "cut or created again, and going on would skip what is written next. Restore it from a copy of the topic, "
            "then start again"
        )
    if topic.kind is not Kind.LOG and topic.retention_ms != FOREVER_MS:
        # The table says that nobody needs it for longer, and the cursor is not moved by each input without effect.
        if wanted is not None:
            log.warning("%s-%d: %d to %d are gone unread, as its retention has it", *place, at, first - 1)
        return first
    raise EvidenceExpiredError(
        f"{place.topic}-{place.partition} begins at offset {first}, but it is needed from {at} on: retention or a "
        "hand has removed records that were not consumed, and going on would lose what they decided. Restore them from "
        f"a copy of the topic, or restore {log_name}.snapshots with a generation that has consumed it up to {first}; "
        "then start again"
    )
