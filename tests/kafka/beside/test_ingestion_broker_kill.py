"""The broker is killed under metric ingestion: the windows tell all that its sources sent, once."""

import asyncio
import time
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from services.metric_ingestion.app import MetricIngestion
from services.runtime.kafka.connection import ensure_topics
from services.runtime.process.service import system_clock
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
from tests.support.stack import OwnKafka, settings_on


@pytest.mark.timeout(180)
async def test_a_broker_killed_under_load_loses_and_repeats_nothing(own_kafka: OwnKafka, tmp_path: Path) -> None:
    broker = own_kafka()
    settings = settings_on(broker, None, "", tmp_path).model_copy(update={"tokens": tokens_file(tmp_path)})
    await ensure_topics(settings)
    await say(settings, "plans", plan_registered())
    service = MetricIngestion(settings, system_clock)
    await service.start()
    sent, refused = 0, 0
    try:
        await until_watched(settings)
        async with httpx.AsyncClient(timeout=20) as client:
            for number in range(30):
                if number == 12:
                    await asyncio.to_thread(broker.kill)
                    restart = asyncio.create_task(asyncio.to_thread(broker.start))
                at = time.time_ns()
                export = (
                    Export(at, at - SECOND).histogram((4, 0, 0), variant("on")).histogram((9, 0, 0), variant("off"))
                )
                while (await post(client, service.port, export.request())).status_code != 200:
                    refused += 1
                    await asyncio.sleep(0.1)
                sent += 13
                await asyncio.sleep(0.25)
            await restart
            await asyncio.sleep(1)
            await post(client, service.port, export.request())
        windows = await closed_windows(settings, until=sent)
        assert service.alive()
    finally:
        await service.stop()
    assert sum(w.late for w in windows) == 0
    assert requests_of(windows) == sent
    assert len({w.id for w in windows}) == len(windows)
    assert all(later.start == earlier.end for earlier, later in pairwise(windows))
