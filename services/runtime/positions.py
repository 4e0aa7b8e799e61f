"""Where partitions begin and end, asked in one go."""

from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

Offsets = dict[TopicPartition, int]


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
