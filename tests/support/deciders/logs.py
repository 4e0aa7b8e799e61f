"""Writes the private logs of deciders that a test plays itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import ConsumerRecord, TopicPartition

from penstock.chain import Record, encode, genesis
from penstock.chain.record import SCHEMA, digest
from penstock.events import Event, to_json
from penstock.events.cloudevents import to_kafka
from penstock.partitioner import partition_of
from penstock.settings import Settings
from penstock.topics import PARTITIONS
from services.runtime.kafka.appender import Appender
from services.runtime.kafka.connection import ensure_topics, named, read_span


class Others:
    """All other deciders: appends accepted records, and says plain events."""

    def __init__(self, settings: Settings, cluster: str, appender: Appender) -> None:
        self._settings = settings
        self._cluster = cluster
        self._appender = appender
        self._heads: dict[tuple[str, int], str] = {}

    async def decide(self, log: str, *events: Event, schema: int = SCHEMA) -> None:
        """Append one accepted record for each event, with a body of that version."""
        for event in events:
            place = (log, partition_of(event.target))
            head = self._heads.get(place) or genesis(self._cluster, named(self._settings, log), place[1])
            value = encode(Record(head, {}, event.target, events=(to_json(event),), schema=schema))
            self._heads[place] = digest(value)
            await (await self._appender.append(log, place[1], event.target.encode(), value))

    async def say(self, topic: str, *events: Event) -> None:
        """Say events on a public topic."""
        for event in events:
            key, value, headers = to_kafka(event)
            await (await self._appender.append(topic, partition_of(event.target), key, value, headers))


async def dead_letters(settings: Settings, least: int = 1) -> list[ConsumerRecord]:
    """Return the dead letters once there are so many, or as they are after some seconds."""
    places = {TopicPartition(named(settings, "dead-letters"), p): 0 for p in range(PARTITIONS)}
    for _ in range(60):
        letters: list[ConsumerRecord] = []
        await read_span(settings, places, letters.append)
        if len(letters) >= least:
            break
        await asyncio.sleep(0.1)
    return letters


def headers_of(letter: ConsumerRecord) -> dict[str, str]:
    """Return a dead letter's headers as text."""
    return {name: value.decode(errors="replace") for name, value in letter.headers}


@asynccontextmanager
async def others(settings: Settings) -> AsyncIterator[Others]:
    """Give the other deciders on topics that exist."""
    cluster = await ensure_topics(settings)
    appender = Appender(settings)
    await appender.start()
    try:
        yield Others(settings, cluster, appender)
    finally:
        await appender.stop()
