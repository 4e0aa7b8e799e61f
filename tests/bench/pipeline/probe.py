"""How `penstock bench pipeline` measures: one record at a time through each chain, both by the same clock and loop."""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from itertools import chain, zip_longest
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer

from penstock.chain import genesis
from penstock.cli import local
from penstock.errors import UnavailableError
from penstock.events import WindowClosed, to_json
from penstock.events.cloudevents import to_kafka
from penstock.partitioner import partition_of
from penstock.settings import Settings
from penstock.topics import PARTITIONS, Kind, Topic
from tests.bench.pipeline.load import STAGES, WindowLog, deploy_of, target_of, windows_of
from tests.bench.pipeline.relay import HOPS, bare, consumer_of, producer_of

_BLOCK = 100
_PAUSE_S = 0.005
_PATIENCE_S = 30.0


class Lane(StrEnum):
    """The two chains."""

    OURS = "penstock"
    BARE = "bare aiokafka"


@dataclass(frozen=True)
class Latencies:
    """Milliseconds: how many, median, 99th percentile, worst."""

    count: int
    p50: float
    p99: float
    worst: float


def latencies(seconds: list[float]) -> Latencies:
    """Return the summary of measured seconds."""
    ordered = sorted(seconds)
    at = [ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1e3 for share in (0.5, 0.99)]
    return Latencies(len(ordered), at[0], at[1], ordered[-1] * 1e3)


class Arrivals:
    """Who waits for which key to come out at the end of a chain."""

    def __init__(self) -> None:
        self._awaited: dict[str, asyncio.Future[float]] = {}

    def expect(self, key: str) -> "asyncio.Future[float]":
        """Return what will hold the time of arrival."""
        future = asyncio.get_running_loop().create_future()
        self._awaited[key] = future
        return future

    def arrived(self, key: str) -> None:
        """Note that a key is there."""
        future = self._awaited.pop(key, None)
        if future is not None and not future.done():
            future.set_result(time.perf_counter())


async def prepare(settings: Settings) -> str:
    """Create the topics of both chains; return the cluster's id."""
    extra = tuple(Topic(f"bare-{hop}", Kind.PUBLIC, "target", "bench", ()) for hop in range(1, HOPS + 1))
    kafka = local.load("runtime.kafka.connection")
    await kafka.ensure_topics(settings)
    return str(await kafka.ensure_topics(settings, extra))


async def remove(settings: Settings) -> None:
    """Delete every topic below the prefix."""
    from aiokafka.admin import AIOKafkaAdminClient

    admin = AIOKafkaAdminClient(**local.load("runtime.kafka.connection").connection(settings))
    await admin.start()
    try:
        await admin.delete_topics(
            [name for name in await admin.list_topics() if name.startswith(settings.topic_prefix)]
        )
    finally:
        await admin.close()


class Probe:
    """Sends into both chains and sees what comes out.

    Args:
        cluster: the cluster's id, for where the window log's chain begins.
    """

    def __init__(self, settings: Settings, cluster: str) -> None:
        self._settings = settings
        self._windows = f"{settings.topic_prefix}window-log"
        self._log = WindowLog([genesis(cluster, self._windows, partition) for partition in range(PARTITIONS)])
        self._arrivals = Arrivals()
        self._producer: AIOKafkaProducer | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Probe":
        self._producer = producer_of(self._settings)
        await self._producer.start()
        for topic, key_of in (
            (f"{self._settings.topic_prefix}flag-log", _changed),
            (bare(self._settings, HOPS), _number),
        ):
            consumer = consumer_of(self._settings, topic)
            await consumer.start()
            await consumer.seek_to_end()
            self._tasks.append(asyncio.create_task(self._follow(consumer, key_of)))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._producer is not None:
            await self._producer.stop()

    async def deploy(self, targets: list[str], now: datetime) -> None:
        """Start a rollout on every target, one after the other; return when their first stages are exposed."""
        for target in targets:
            event = deploy_of(target, now)
            arrival = self._arrivals.expect(f"{target} {to_json(event)['time']}")
            key, value, headers = to_kafka(event)
            await self._send(f"{self._settings.topic_prefix}deploys", value, key, partition_of(target), headers)
            await self._one(arrival, f"the first stage of {target}")

    async def window(self, window: WindowClosed) -> float:
        """Send a window; return seconds until its flag has changed."""
        partition = partition_of(window.target)
        value = self._log.value_of(partition, window)
        arrival = self._arrivals.expect(f"{window.target} {to_json(window)['time']}")
        begin = time.perf_counter()
        await self._send(self._windows, value, window.target.encode(), partition)
        return await self._one(arrival, f"the flag of {window.target}") - begin

    async def pass_on(self, number: int, size: int) -> float:
        """Send a record into the bare chain; return seconds until it is out."""
        arrival = self._arrivals.expect(str(number))
        begin = time.perf_counter()
        await self._send_bare(number, size)
        return await self._one(arrival, "the bare chain") - begin

    async def flood(self, numbers: range, size: int) -> None:
        """Send many records into the bare chain at once; return when all are out."""
        waiting = [self._arrivals.expect(str(number)) for number in numbers]
        for number in numbers:
            await self._send_bare(number, size)
        for arrival in waiting:
            await self._one(arrival, "the warm-up")

    async def _send_bare(self, number: int, size: int) -> None:
        await self._send(bare(self._settings, 1), str(number).encode().ljust(size), b"", number % PARTITIONS)

    async def _send(
        self, topic: str, value: bytes, key: bytes, partition: int, headers: list[tuple[str, bytes]] | None = None
    ) -> None:
        assert self._producer is not None
        await self._producer.send(topic, value, key=key, partition=partition, headers=headers or [])

    async def _follow(self, consumer: Any, key_of: "Callable[[bytes], list[str]]") -> None:
        try:
            async for record in consumer:
                for key in key_of(record.value):
                    self._arrivals.arrived(key)
        finally:
            await consumer.stop()

    async def _one(self, arrival: "asyncio.Future[float]", what: str) -> float:
        try:
            return await asyncio.wait_for(arrival, _PATIENCE_S)
        except TimeoutError:
            raise UnavailableError(f"{what} did not arrive within {_PATIENCE_S:.0f} s") from None


async def measure(
    settings: Settings, cluster: str, transitions: int, warm_up: int, progress: Callable[[str], None]
) -> tuple[Latencies, Latencies]:
    """Return the latencies of our chain and of the bare one, measured in turns of a hundred records."""
    ours: list[float] = []
    plain: list[float] = []
    count = -(-(transitions + _BLOCK) // (STAGES - 1))
    targets = [target_of(number) for number in range(count)]
    async with Probe(settings, cluster) as probe:
        progress(f"warming up with {warm_up} records")
        for begin in range(0, warm_up, 250):
            await probe.flood(range(begin, min(begin + 250, warm_up)), 1000)
        progress(f"starting {count} rollouts of {STAGES} stages")
        now = datetime.now(UTC)  # noqa: TID251 - a shell reads the clock; event time goes on from here
        await probe.deploy(targets, now)
        rounds = chain.from_iterable(zip_longest(*(windows_of(target, now) for target in targets)))
        windows = (window for window in rounds if window is not None)
        size = 1000
        for place, block in enumerate(_blocks(windows, transitions + _BLOCK)):
            taken = [await _paced(probe.window(window)) for window in block]
            passed = [await _paced(probe.pass_on(warm_up + place * _BLOCK + n, size)) for n in range(len(block))]
            if place > 0:
                # The first block warms the services: numpy, caches, the broker's new partitions.
                ours += taken
                plain += passed
            if place % 5 == 0:
                progress(f"{len(ours)} of {transitions} transitions")
    return latencies(ours[:transitions]), latencies(plain[:transitions])


async def _paced(work: Any) -> float:
    seconds: float = await work
    await asyncio.sleep(_PAUSE_S)
    return seconds


def _blocks(windows: Iterator[WindowClosed], count: int) -> Iterator[list[WindowClosed]]:
    block: list[WindowClosed] = []
    for place, window in enumerate(windows):
        if place == count:
            break
        block.append(window)
        if len(block) == _BLOCK:
            yield block
            block = []
    if block:
        yield block


def _changed(value: bytes) -> list[str]:
    record = msgspec.json.decode(value)
    said = (event for event in record.get("events", ()) if event["type"] == "exposure.changed")
    return [f"{event['target']} {event['time']}" for event in said]


def _number(value: bytes) -> list[str]:
    return [value.split(b" ", 1)[0].decode()]
