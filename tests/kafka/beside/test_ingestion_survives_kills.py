"""Metric ingestion is killed at random moments while a client posts: what was acknowledged is in the windows, once."""

import asyncio
import random
import time
from asyncio.subprocess import Process
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from aiokafka import ConsumerRecord, TopicPartition
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from penstock.events import Cohort, Count, WindowClosed
from penstock.events.cloudevents import from_kafka
from penstock.local.ports import free_ports
from penstock.settings import Settings
from penstock.topics import PARTITIONS
from services.runtime.kafka.connection import ensure_topics, named, read_span
from tests.support.metrics.ingestion import (
    closed_windows,
    launch,
    plan_registered,
    post,
    requests_of,
    say,
    tokens_file,
    until_watched,
)
from tests.support.metrics.otlp import CUMULATIVE, SECOND, Export, request, variant

PLAN = """\
version: 1
name: banner
target: {environment: staging, service: shop, flag: banner}
owners: [team-shop]
windows: {length: 250ms}
gates:
  errors: {kind: ratio, metric: http.server.request.duration, bad: {http.response.status_code: "5*"}}
  orders: {kind: count, metric: orders}
stages:
  - {name: canary, exposure: 25%, bake: {min: 8, max: 40}}
"""
LEAST_EXPORTS, LEAST_KILLS = 90, 3
CANARY, BASELINE = 3, 17
FIRST_ORDERS = 1000


def export(number: int, at: int) -> ExportMetricsServiceRequest:
    """Return the export of that number: fixed traffic, and an order counter that has grown by its number."""
    orders = FIRST_ORDERS + number * (number + 1) // 2
    requests = (
        Export(at, at - SECOND // 10)
        .histogram((CANARY, 0, 0), variant("on", **{"http.response.status_code": 200}))
        .histogram((BASELINE, 0, 0), variant("off", **{"http.response.status_code": 200}))
    )
    return request(requests, Export(at, SECOND).counter("orders", orders, variant("off"), temporality=CUMULATIVE))


async def post_until_taken(client: httpx.AsyncClient, port: int, whole: ExportMetricsServiceRequest) -> None:
    """Post as the SDK's exporter would: the same bytes again until they are acknowledged."""
    while True:
        try:
            if (await post(client, port, whole)).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        await asyncio.sleep(0.05)


@dataclass
class Victim:
    """The process that is killed and started again.

    Attributes:
        kills: how often so far; one in four hits it while it starts.
    """

    settings: Settings
    seed: int
    kills: int = 0
    process: Process | None = None

    async def live(self, done: asyncio.Event) -> None:
        """Start it, and kill it at random moments until `done`; then leave it running."""
        moments = random.Random(self.seed)
        while not done.is_set():
            await self.start()
            if moments.random() > 0.25:
                await self.serving()
            try:
                await asyncio.wait_for(done.wait(), 0.3 + moments.random() * 3)
            except TimeoutError:
                await self.kill()
                self.kills += 1
        await self.start()

    async def start(self) -> None:
        if self.process is None:
            self.process = await launch(self.settings)

    async def kill(self) -> None:
        if self.process is not None:
            if self.process.returncode is None:
                self.process.kill()
            await self.process.wait()
            self.process = None

    async def serving(self) -> None:
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.settings.otlp_port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


async def public_windows(settings: Settings) -> set[str]:
    found: set[str] = set()

    def keep(record: ConsumerRecord) -> None:
        event = from_kafka(record.value, record.headers)
        if isinstance(event, WindowClosed):
            found.add(event.id)

    name = named(settings, "metric-windows")
    await read_span(settings, {TopicPartition(name, p): 0 for p in range(PARTITIONS)}, keep)
    return found


async def until_said(settings: Settings, ids: set[str]) -> set[str]:
    """Return the public windows once these are among them, or as they are after a while."""
    for _ in range(50):
        said = await public_windows(settings)
        if ids <= said:
            break
        await asyncio.sleep(0.2)
    return said


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [11])
async def test_nothing_is_lost_and_nothing_counted_twice(stack_settings: Settings, tmp_path: Path, seed: int) -> None:
    settings = stack_settings.model_copy(
        update={"tokens": tokens_file(tmp_path), "lateness": 15.0, "snapshot_every": 10, "otlp_port": free_ports(1)[0]}
    )
    await ensure_topics(settings)
    await say(settings, "plans", plan_registered(PLAN))
    victim, done = Victim(settings, seed), asyncio.Event()
    killing = asyncio.create_task(victim.live(done))
    try:
        await until_watched(settings)
        async with httpx.AsyncClient(timeout=10) as client:
            exports = 0
            while exports < LEAST_EXPORTS or victim.kills < LEAST_KILLS:
                await post_until_taken(client, settings.otlp_port, export(exports, time.time_ns()))
                exports += 1
                await asyncio.sleep(0.1)
            # One more, in a window of its own.
            await asyncio.sleep(0.5)
            await post_until_taken(client, settings.otlp_port, export(exports, time.time_ns()))
            exports += 1
            windows = await closed_windows(settings, until=exports * (CANARY + BASELINE), patience=60)
        done.set()
        await killing
        await victim.serving()
        said = await until_said(settings, {window.id for window in windows})
        assert victim.process is not None
        victim.process.terminate()
        assert await victim.process.wait() == 0
    finally:
        killing.cancel()
        await victim.kill()
    assert requests_of(windows, Cohort.CANARY) == exports * CANARY
    assert requests_of(windows, Cohort.BASELINE) == exports * BASELINE
    orders = [w.measures.get(Cohort.BASELINE, {}).get("orders") for w in windows]
    assert sum(o.value for o in orders if isinstance(o, Count)) == exports * (exports - 1) // 2
    assert sum(w.late for w in windows) == 0
    assert sum(w.resets for w in windows) == 0
    assert len({w.id for w in windows}) == len(windows)
    assert all(later.start == earlier.end for earlier, later in pairwise(windows))
    assert {w.id for w in windows} <= said
