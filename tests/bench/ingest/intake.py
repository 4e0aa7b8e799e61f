"""How `penstock bench ingest` measures: exports posted by several connections, and the windows that come out."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
from aiokafka import AIOKafkaProducer, TopicPartition

from penstock.chain import Fold, genesis
from penstock.cli.local import load
from penstock.errors import UnavailableError
from penstock.settings import Settings
from penstock.topics import PARTITIONS
from tests.bench.pipeline.probe import Latencies, latencies

TARGET = "bench/bench/flag"
PLAN = """\
version: 1
name: bench
target: {environment: bench, service: bench, flag: flag}
owners: [bench]
windows: {length: 1s}
gates:
  errors: {kind: ratio, metric: http.server.request.duration, bad: {http.response.status_code: "5*"}}
  p99: {kind: quantile, metric: http.server.request.duration, quantile: 0.99}
stages:
  - {name: all, exposure: 50%, bake: {min: 5, max: 50}}
"""
_SECOND = 10**9
_EDGES = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_QUIET_S = 4.0
_PATIENCE_S = 60.0
_AGAIN_S = 0.5


@dataclass(frozen=True)
class Taken:
    """One way in: points, seconds that they took in all, and how long each request took."""

    points: int
    seconds: float
    requests: Latencies

    @property
    def rate(self) -> float:
        """Points a second."""
        return self.points / self.seconds


@dataclass(frozen=True)
class Closed:
    """What came out: requests counted in windows, and how long after its end each window stood in the log."""

    counted: int
    windows: Latencies


class Exports:
    """Exports of one connection: an instance of its own, delta histograms of ten requests each.

    Args:
        points: series of each export.
    """

    def __init__(self, connection: int, points: int) -> None:
        from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
        from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality

        self._request = ExportMetricsServiceRequest()
        resource = self._request.resource_metrics.add()
        names = {
            "service.name": "bench",
            "deployment.environment.name": "bench",
            "service.instance.id": f"bench-{connection}",
        }
        for name, value in names.items():
            resource.resource.attributes.add(key=name).value.string_value = value
        metric = resource.scope_metrics.add().metrics.add(name="http.server.request.duration", unit="s")
        metric.histogram.aggregation_temporality = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
        for number in range(points):
            attributes = {
                "feature_flag.key": "flag",
                "feature_flag.result.variant": "on" if number % 10 == 0 else "off",
                "http.route": f"/route/{number}",
                "http.response.status_code": "200",
            }
            point = metric.histogram.data_points.add(count=10, sum=0.4, explicit_bounds=_EDGES)
            point.bucket_counts.extend((0, 0, 4, 3, 2, 1, *(0,) * 9))
            for name, value in attributes.items():
                point.attributes.add(key=name).value.string_value = value
        self._points = metric.histogram.data_points

    def next(self, now: int) -> bytes:
        """Return the export of this moment, Unix nanoseconds."""
        for point in self._points:
            point.time_unix_nano, point.start_time_unix_nano = now, now - _SECOND
        return bytes(self._request.SerializeToString())


async def post(port: int, token: str, connections: int, rounds: int, points: int) -> Taken:
    """Post `rounds` exports of `points` on each connection, as fast as they are taken."""
    headers = {"authorization": f"Bearer {token}", "content-type": "application/x-protobuf"}
    address, took = f"http://127.0.0.1:{port}/v1/metrics", list[float]()

    async def one(connection: int) -> None:
        exports = Exports(connection, points)
        async with httpx.AsyncClient(timeout=30, headers=headers) as client:
            for _ in range(rounds):
                body = exports.next(time.time_ns())
                began = time.perf_counter()
                answer = await _answered(client, address, body)
                took.append(time.perf_counter() - began)
                if answer.status_code != httpx.codes.OK:
                    raise UnavailableError(f"the intake answered {answer.status_code}: {answer.text}")

    began = time.perf_counter()
    await asyncio.gather(*map(one, range(connections)))
    return Taken(connections * rounds * points, time.perf_counter() - began, latencies(took))


async def _answered(client: httpx.AsyncClient, address: str, body: bytes) -> httpx.Response:
    # A stalled broker is answered as the SDK answers it: the same bytes again, on the same clock.
    while True:
        answer = await client.post(address, content=body)
        if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            return answer
        await asyncio.sleep(_AGAIN_S)


async def produce(settings: Settings, connections: int, rounds: int, points: int) -> Taken:
    """Send the same bytes to a topic by the bare client, acknowledged one by one on each connection."""
    kafka = load("runtime.kafka.connection")
    took: list[float] = []
    async with AIOKafkaProducer(
        **kafka.connection(settings), acks="all", enable_idempotence=True, max_request_size=8 << 20
    ) as producer:

        async def one(connection: int) -> None:
            exports = Exports(connection, points)
            for _ in range(rounds):
                body = exports.next(time.time_ns())
                began = time.perf_counter()
                await producer.send_and_wait(kafka.named(settings, "bare-1"), body, partition=connection % PARTITIONS)
                took.append(time.perf_counter() - began)

        began = time.perf_counter()
        await asyncio.gather(*map(one, range(connections)))
        return Taken(connections * rounds * points, time.perf_counter() - began, latencies(took))


async def register(settings: Settings) -> None:
    """Put the plan in force, as rollout control would say it."""
    from penstock.events import PlanRegistered
    from penstock.events.cloudevents import to_kafka
    from penstock.partitioner import partition_of
    from penstock.plan import hash_of

    now = datetime.fromtimestamp(time.time()).astimezone()  # noqa: TID251 - a benchmark is a shell
    event = PlanRegistered(
        id="bench",
        source="/penstock/bench",
        target=TARGET,
        time=now,
        name="bench",
        plan_hash=hash_of(PLAN),
        plan_text=PLAN,
    )
    key, value, headers = to_kafka(event)
    kafka = load("runtime.kafka.connection")
    async with AIOKafkaProducer(**kafka.connection(settings)) as producer:
        topic = kafka.named(settings, "plans")
        await producer.send_and_wait(topic, value, key=key, partition=partition_of(TARGET), headers=headers)


async def counted(settings: Settings, cluster: str, sent: int) -> Closed:
    """Return what the windows tell, once they tell `sent` requests, or after a minute."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        requests, delays = await _windows(settings, cluster)
        if requests >= sent or time.monotonic() > deadline:
            return Closed(requests, latencies(delays))
        await asyncio.sleep(_QUIET_S / 4)


async def watched(settings: Settings, cluster: str) -> None:
    """Return once the plan is in force: silence is told in windows from then on."""
    deadline = time.monotonic() + _PATIENCE_S
    while not (await _windows(settings, cluster, silent=True))[1]:
        if time.monotonic() > deadline:
            raise UnavailableError("the plan was not put in force within a minute")
        await asyncio.sleep(0.2)


async def _windows(settings: Settings, cluster: str, silent: bool = False) -> tuple[int, list[float]]:
    kafka = load("runtime.kafka.connection")
    name = kafka.named(settings, "window-log")
    folds = {partition: Fold(genesis(cluster, name, partition)) for partition in range(PARTITIONS)}
    requests, delays = 0, []

    def keep(record: Any) -> None:
        nonlocal requests
        accepted = folds[record.partition].offer(record.offset, record.value)
        for event in accepted.record.events if accepted is not None and accepted.record is not None else ():
            if event["type"] == "window.closed" and (event.get("measures") or silent):
                requests += sum(_total(event, cohort) for cohort in ("canary", "baseline"))
                delays.append(record.timestamp / 1e3 - datetime.fromisoformat(event["end"]).timestamp())

    await kafka.read_span(settings, {TopicPartition(name, p): 0 for p in range(PARTITIONS)}, keep)
    return requests, delays


def _total(event: dict[str, Any], cohort: str) -> int:
    return int(event["measures"].get(cohort, {}).get("errors", {}).get("total", 0))


def cpu_seconds(pids: Sequence[int]) -> float:
    """Return the processor time that processes have used, where the system tells it (Linux)."""
    import os

    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")
