"""Rollout control on a real broker, who publishes to it, and what it says."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from penstock.events import Event
from penstock.events.cloudevents import to_kafka
from penstock.partitioner import partition_of
from penstock.settings import Settings
from services.rollout_control.app import build
from services.runtime.decider.shell import DeciderShell
from services.runtime.kafka.appender import Appender
from services.runtime.kafka.connection import ensure_topics
from services.runtime.kafka.reader import Heard, PublicReader
from services.runtime.process.service import Clock, system_clock

Publish = Callable[[str, Event], Awaitable[None]]


@asynccontextmanager
async def control(settings: Settings, clock: Clock = system_clock) -> AsyncIterator[DeciderShell]:
    """Give a running copy of rollout control."""
    shell = build(settings, clock)
    assert isinstance(shell, DeciderShell)
    await shell.start()
    try:
        yield shell
    finally:
        await shell.stop()


@asynccontextmanager
async def world(settings: Settings) -> AsyncIterator[tuple[Publish, list[Heard]]]:
    """Give what publishes an event on a topic, and what has been heard on `rollouts`."""
    await ensure_topics(settings)
    appender, heard = Appender(settings), list[Heard]()
    await appender.start()
    reader = PublicReader(settings, ["rollouts"], heard.append)
    await reader.start()

    async def publish(topic: str, event: Event) -> None:
        key, value, headers = to_kafka(event)
        await appender.append_and_wait(topic, partition_of(event.target), key, value, headers)

    try:
        yield publish, heard
    finally:
        await reader.stop()
        await appender.stop()
