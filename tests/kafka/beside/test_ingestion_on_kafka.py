"""Metric ingestion on a real broker: posted counts come out as windows, each once, and the demo's latency is near."""

import asyncio
import time
from itertools import pairwise
from pathlib import Path

import httpx

from penstock.events import Cohort, ExplicitHistogram, Ratio
from penstock.settings import Settings
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


def settings_with_tokens(settings: Settings, folder: Path) -> Settings:
    return settings.model_copy(update={"tokens": tokens_file(folder), "lateness": 1.0})


def export(at: int) -> Export:
    """Return one second of traffic: 4 canary requests of which one failed, 36 of the baseline."""
    return (
        Export(at, at - SECOND)
        .histogram((2, 1, 0), variant("on", **{"http.response.status_code": 200}))
        .histogram((0, 0, 1), variant("on", **{"http.response.status_code": 503}))
        .histogram((30, 5, 1), variant("off", **{"http.response.status_code": 200}))
    )


async def test_posted_counts_come_out_as_windows(stack_settings: Settings, tmp_path: Path) -> None:
    settings = settings_with_tokens(stack_settings, tmp_path)
    await ensure_topics(settings)
    await say(settings, "plans", plan_registered())
    service = MetricIngestion(settings, system_clock)
    await service.start()
    try:
        await until_watched(settings)
        async with httpx.AsyncClient() as client:
            for _ in range(5):
                answer = await post(client, service.port, export(time.time_ns()).request())
                assert answer.status_code == 200, answer.text
                await asyncio.sleep(1)
        windows = await closed_windows(settings, until=200)
    finally:
        await service.stop()
    assert requests_of(windows, Cohort.CANARY) == 20
    assert requests_of(windows, Cohort.BASELINE) == 180
    errors = [w.measures[Cohort.CANARY]["errors"] for w in windows if Cohort.CANARY in w.measures]
    assert sum(e.events for e in errors if isinstance(e, Ratio)) == 5
    slow = [w.measures[Cohort.CANARY]["p99"] for w in windows if Cohort.CANARY in w.measures]
    assert all(isinstance(h, ExplicitHistogram) for h in slow)
    assert len({w.id for w in windows}) == len(windows)
    assert all(later.start == earlier.end for earlier, later in pairwise(windows))
