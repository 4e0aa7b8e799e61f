"""OTLP on Kafka feeds the same windows, what cannot be read becomes a dead letter; two copies share and take over."""

import asyncio
import time
from pathlib import Path

import httpx
from aiokafka import AIOKafkaProducer

from penstock.events import Cohort
from penstock.partitioner import partition_of
from penstock.settings import Settings
from services.metric_ingestion.app import MetricIngestion
from services.runtime.kafka.connection import ensure_topics, named
from services.runtime.process.service import system_clock
from tests.support.deciders.logs import dead_letters, headers_of
from tests.support.metrics.ingestion import (
    closed_windows,
    plan_registered,
    post,
    requests_of,
    say,
    tokens_file,
    until_watched,
)
from tests.support.metrics.otlp import SECOND, Export, variant
from tests.support.plans import TARGET

ZOMBIE = b'{"prev":"0","cursor":{},"target":"x"}'
FOREIGN = b'{"level":"info","msg":"a line of another program"}'


def export(canary: int = 4, baseline: int = 16) -> Export:
    at = time.time_ns()
    return (
        Export(at, at - SECOND)
        .histogram((canary, 0, 0), variant("on", **{"http.response.status_code": 200}))
        .histogram((baseline, 0, 0), variant("off", **{"http.response.status_code": 200}))
    )


async def started(settings: Settings, instance: str = "one") -> MetricIngestion:
    service = MetricIngestion(settings.model_copy(update={"instance": instance}), system_clock)
    await service.start()
    return service


async def prepared(settings: Settings, folder: Path) -> Settings:
    settings = settings.model_copy(update={"tokens": tokens_file(folder)})
    await ensure_topics(settings)
    await say(settings, "plans", plan_registered())
    return settings


async def test_otlp_on_kafka_comes_out_as_windows_and_nonsense_as_dead_letters(
    stack_settings: Settings, tmp_path: Path
) -> None:
    settings = await prepared(stack_settings, tmp_path)
    service = await started(settings)
    try:
        await until_watched(settings)
        topic = named(settings, "otlp_metrics")
        async with AIOKafkaProducer(bootstrap_servers=settings.kafka) as producer:
            for number in range(4):
                await producer.send_and_wait(topic, export().request().SerializeToString(), partition=number)
                await producer.send_and_wait(topic, b"\xff no OTLP", headers=[("odd", b"\xff"), ("none", None)])
                await asyncio.sleep(1)
        windows = await closed_windows(settings, until=60)
        letters = [headers_of(letter) for letter in await dead_letters(settings, 4)]
    finally:
        await service.stop()
    assert requests_of(windows, Cohort.CANARY) >= 12
    assert len(letters) == 4
    assert all("OTLP protobuf" in letter["reason"] for letter in letters)
    assert {letter["origin-topic"] for letter in letters} == {"otlp_metrics"}


async def test_a_second_copy_takes_partitions_and_gives_them_back(stack_settings: Settings, tmp_path: Path) -> None:
    settings = await prepared(stack_settings, tmp_path)
    first = await started(settings)
    sent = 0
    try:
        await until_watched(settings)
        async with httpx.AsyncClient() as client:
            for second in ("start", "", "stop", ""):
                for _ in range(6):
                    assert (await post(client, first.port, export().request())).status_code == 200
                    sent += 20
                    await asyncio.sleep(0.3)
                if second == "start":
                    other = await started(settings, "two")
                elif second == "stop":
                    await other.stop()
            await asyncio.sleep(1)
            await post(client, first.port, export().request())
        windows = await closed_windows(settings, until=sent)
    finally:
        await first.stop()
    assert requests_of(windows) == sent
    assert len({w.id for w in windows}) == len(windows)


async def test_a_copy_whose_partition_another_wrote_to_restores_and_loses_nothing(
    stack_settings: Settings, tmp_path: Path
) -> None:
    settings = await prepared(stack_settings, tmp_path)
    service = await started(settings)
    sent = 0
    try:
        await until_watched(settings)
        async with (
            httpx.AsyncClient() as client,
            AIOKafkaProducer(bootstrap_servers=settings.kafka) as stranger,
        ):
            for number in range(12):
                assert (await post(client, service.port, export().request())).status_code == 200
                sent += 20
                if number % 4 == 2:
                    # They chain to nothing, but they take the offset that the owner counts on.
                    value = FOREIGN if number == 6 else ZOMBIE
                    await stranger.send_and_wait(named(settings, "window-log"), value, partition=partition_of(TARGET))
                await asyncio.sleep(0.4)
            await asyncio.sleep(1)
            await post(client, service.port, export().request())
        windows = await closed_windows(settings, until=sent)
        assert service.alive()
        (letter,) = {headers_of(letter)["origin-offset"]: letter for letter in await dead_letters(settings)}.values()
    finally:
        await service.stop()
    assert letter.value == FOREIGN
    assert "no envelope" in headers_of(letter)["reason"]
    assert requests_of(windows) == sent
    assert sum(w.late for w in windows) == 0
    assert len({w.id for w in windows}) == len(windows)
