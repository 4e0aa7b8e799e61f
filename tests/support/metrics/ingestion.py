"""Metric ingestion under test: a registered plan, a client that posts, and the windows that its log holds."""

import asyncio
import os
import sys
from asyncio.subprocess import Process
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import httpx
from aiokafka import AIOKafkaProducer, ConsumerRecord, TopicPartition
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from penstock.chain import Fold, Record, genesis
from penstock.events import Cohort, Event, PlanRegistered, WindowClosed, from_json
from penstock.events.cloudevents import to_kafka
from penstock.partitioner import partition_of
from penstock.plan import hash_of, load_plan
from penstock.settings import Settings, variable_of
from penstock.tokens import digest_of
from penstock.topics import PARTITIONS
from services.metric_ingestion.selection.watch import Watched
from services.runtime.kafka.connection import ensure_topics, named, read_span
from tests.support.plans import SHORT, TARGET

TOKEN = "a-token-of-the-tests"
HEADERS = {"authorization": f"Bearer {TOKEN}", "content-type": "application/x-protobuf"}


def tokens_file(folder: Path, roles: Sequence[str] = ("metrics",)) -> Path:
    """Return a tokens file that knows TOKEN."""
    path = folder / "tokens.yaml"
    path.write_text(f"tokens: [{{sha256: {digest_of(TOKEN)}, identity: tests, roles: [{', '.join(roles)}]}}]\n")
    return path


def plan_registered(text: str = SHORT, target: str = TARGET) -> PlanRegistered:
    """Return the event that puts a plan in force."""
    return PlanRegistered(
        id="plan-1",
        source="/penstock/rollout_control",
        target=target,
        time=datetime(2026, 1, 1, tzinfo=UTC),
        name="banner",
        plan_hash=hash_of(text),
        plan_text=text,
    )


async def say(settings: Settings, topic: str, *events: Event) -> None:
    """Publish events on a topic as its producer would."""
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka) as producer:
        for event in events:
            key, value, headers = to_kafka(event, {})
            await producer.send_and_wait(
                named(settings, topic), value, key=key, partition=partition_of(event.target), headers=list(headers)
            )


async def post(client: httpx.AsyncClient, port: int, request: ExportMetricsServiceRequest) -> httpx.Response:
    """Post one export."""
    return await client.post(
        f"http://127.0.0.1:{port}/v1/metrics", content=request.SerializeToString(), headers=HEADERS
    )


async def launch(settings: Settings) -> Process:
    """Start metric ingestion in a process of its own."""
    given = settings.model_dump(mode="json", exclude_defaults=True)
    variables = {variable_of(name): str(value) for name, value in given.items() if value is not None}
    command = (sys.executable, "-m", "services", "metric_ingestion")
    return await asyncio.create_subprocess_exec(*command, env={**os.environ, **variables})


async def accepted_records(settings: Settings, cluster: str) -> list[Record]:
    """Return every record that the window log accepts, by the fold rule, in order per partition."""
    name = named(settings, "window-log")
    folds = {p: Fold(genesis(cluster, name, p)) for p in range(PARTITIONS)}
    records: list[Record] = []

    def keep(record: ConsumerRecord) -> None:
        accepted = folds[record.partition].offer(record.offset, record.value)
        if accepted is not None and accepted.record is not None:
            records.append(accepted.record)

    await read_span(settings, {TopicPartition(name, p): 0 for p in range(PARTITIONS)}, keep)
    return records


async def until_watched(settings: Settings, patience: float = 30.0) -> None:
    """Return once the plan is in force: points from before it belong to no window."""
    deadline, cluster = asyncio.get_running_loop().time() + patience, await ensure_topics(settings)
    while not await accepted_records(settings, cluster):
        assert asyncio.get_running_loop().time() < deadline, "no plan was put in force"
        await asyncio.sleep(0.1)


async def closed_windows(settings: Settings, until: int | None = None, patience: float = 20.0) -> list[WindowClosed]:
    """Return the accepted windows; with `until`, once that many requests have been counted in them."""
    loop = asyncio.get_running_loop()
    deadline, cluster = loop.time() + patience, await ensure_topics(settings)
    while True:
        records = await accepted_records(settings, cluster)
        events = [from_json(document) for record in records for document in record.events]
        windows = [event for event in events if isinstance(event, WindowClosed)]
        if until is None or requests_of(windows) >= until or loop.time() > deadline:
            return windows
        await asyncio.sleep(0.2)


def requests_of(windows: Sequence[WindowClosed], cohort: Cohort | None = None, gate: str = "errors") -> float:
    """Return the requests that windows tell of one cohort, or of canary and baseline together."""
    cohorts = (cohort,) if cohort else (Cohort.CANARY, Cohort.BASELINE)
    measures = [window.measures.get(c, {}).get(gate) for window in windows for c in cohorts]
    return sum(measure.total for measure in measures if measure is not None)  # type: ignore[union-attr]


def watched(text: str = SHORT, target: str = TARGET, version: str | None = None) -> Watched:
    """Return what the registry holds of a target with this plan."""
    return Watched(target, load_plan(text), hash_of(text), version, plan_registered(text, target))
