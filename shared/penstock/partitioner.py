"""Kafka's default partitioner (murmur2), so that every producer of ours puts a target on the same partition number."""

from aiokafka.partitioner import murmur2

from penstock.topics import PARTITIONS


def partition_of(key: str, partitions: int = PARTITIONS) -> int:
    """Return the partition number of `key`."""
    return int((murmur2(key.encode()) & 0x7FFFFFFF) % partitions)
