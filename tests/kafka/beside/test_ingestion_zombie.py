"""Two copies of metric ingestion, each in turn frozen until its partitions are the other's: what it does when it wakes
up must neither repeat nor lose anything."""

import asyncio
import signal
import time
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from penstock.local.ports import free_ports
from penstock.settings import Settings
from services.runtime.kafka.connection import ensure_topics
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
from tests.support.metrics.otlp import SECOND, Export, variant
from tests.support.plans import SHORT

FROZEN_S = 9
"""Longer than the group's session."""


async def post_to_any(client: httpx.AsyncClient, ports: list[int], export: Export) -> None:
    while True:
        for port in ports:
            try:
                if (await post(client, port, export.request())).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
        await asyncio.sleep(0.05)


@pytest.mark.timeout(300)
async def test_a_copy_that_wakes_up_without_its_partitions_does_no_harm(
    stack_settings: Settings, tmp_path: Path
) -> None:
    common = stack_settings.model_copy(update={"tokens": tokens_file(tmp_path), "lateness": 15.0, "snapshot_every": 10})
    await ensure_topics(common)
    await say(common, "plans", plan_registered(SHORT.replace("length: 1s", "length: 250ms")))
    ports = free_ports(2)
    copies = [
        await launch(common.model_copy(update={"instance": name, "otlp_port": port}))
        for name, port in zip(("one", "two"), ports, strict=True)
    ]
    sent = 0
    try:
        await until_watched(common)
        async with httpx.AsyncClient(timeout=2) as client:

            async def traffic(seconds: float) -> None:
                nonlocal sent
                until = time.monotonic() + seconds
                while time.monotonic() < until:
                    at = time.time_ns()
                    await post_to_any(client, ports, Export(at, at - SECOND // 10).histogram((7, 0, 0), variant("off")))
                    sent += 7
                    await asyncio.sleep(0.1)

            await traffic(2)
            for copy in copies:
                copy.send_signal(signal.SIGSTOP)
                await traffic(FROZEN_S)
                copy.send_signal(signal.SIGCONT)
                await traffic(4)
            told, paused = sent, time.time_ns() / SECOND
            await asyncio.sleep(0.5)
            await traffic(0.5)
        windows = await closed_windows(common, until=told, patience=60)
    finally:
        for copy in copies:
            copy.send_signal(signal.SIGCONT)
            copy.kill()
            await copy.wait()
    # Nothing was sent for two windows after the pause began; what came then only closes what is before it.
    assert requests_of([w for w in windows if w.start.timestamp() <= paused]) == told
    assert sum(w.late for w in windows) == 0
    assert len({w.id for w in windows}) == len(windows)
    assert all(later.start == earlier.end for earlier, later in pairwise(windows))
