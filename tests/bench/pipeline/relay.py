"""The bare chain of `penstock bench pipeline`: aiokafka alone, each hop reads a topic and appends to the next."""

import asyncio
import os
import signal

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from penstock.cli import local
from penstock.settings import Settings, load_settings
from penstock.topics import PARTITIONS

HOPS = 4
"""Appends from the window log to the flag log: window, verdict, rollout, flag."""


def bare(settings: Settings, hop: int) -> str:
    """Return the topic of a hop, counted from 1."""
    return f"{settings.topic_prefix}bare-{hop}"


def consumer_of(settings: Settings, topic: str) -> AIOKafkaConsumer:
    """Return a consumer as quick as ours: it asks for single bytes and belongs to no group."""
    arguments = local.load("runtime.kafka.connection").connection(settings)
    consumer = AIOKafkaConsumer(**arguments, enable_auto_commit=False, fetch_min_bytes=1, auto_offset_reset="latest")
    consumer.assign([TopicPartition(topic, partition) for partition in range(PARTITIONS)])
    return consumer


def producer_of(settings: Settings) -> AIOKafkaProducer:
    """Return a producer with the promises of ours: idempotent, acknowledged by all, at once."""
    arguments = local.load("runtime.kafka.connection").connection(settings)
    return AIOKafkaProducer(**arguments, acks="all", enable_idempotence=True, linger_ms=0)


async def relay(settings: Settings, hop: int) -> None:
    """Pass every record of a hop on to the next, to the same partition, until cancelled."""
    consumer, producer = consumer_of(settings, bare(settings, hop)), producer_of(settings)
    await producer.start()
    await consumer.start()
    # Without a position of its own the first record could fall between start and the first fetch.
    await consumer.seek_to_end()
    print(f"hop {hop} ready", flush=True)
    try:
        async for record in consumer:
            await producer.send(bare(settings, hop + 1), record.value, key=record.key, partition=record.partition)
    finally:
        await consumer.stop()
        await producer.stop()


async def main() -> None:
    """Run all hops between the first topic and the last until SIGTERM."""
    settings = load_settings(os.environ)
    tasks = [asyncio.create_task(relay(settings, hop)) for hop in range(1, HOPS)]
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, lambda: [task.cancel() for task in tasks])
    await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main())
