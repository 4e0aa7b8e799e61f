"""A process whose Kafka is away at its start: what can serve serves, what cannot waits and says so, for ever."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from penstock.errors import UnavailableError
from penstock.settings import Settings
from services.runtime.kafka import waiting
from services.runtime.kafka.connection import KafkaAwayError
from services.runtime.process import process
from services.runtime.process.process import Copy, health_of, serve


class Fake:
    """A service whose start takes what it is told to."""

    def __init__(self, name: str, *failures: Exception) -> None:
        self.name, self.failures, self.lives, self.stops = name, list(failures), True, 0

    async def start(self) -> None:
        if self.failures:
            raise self.failures[0]

    async def stop(self) -> None:
        self.stops += 1

    def ready(self) -> bool:
        return True

    def alive(self) -> bool:
        return self.lives


class Away(Fake):
    """One that needs Kafka, which is there once `kafka` is set."""

    kafka = False

    async def start(self) -> None:
        if not Away.kafka:
            raise KafkaAwayError("no Kafka at here:9092")


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "AGAIN_S", 0.0)
    monkeypatch.setattr(process, "_WATCH_S", 0.01)
    monkeypatch.setattr(Away, "kafka", False)


@asynccontextmanager
async def serving(tmp_path: Path, *makes: Callable[[], Fake]) -> AsyncIterator[tuple[asyncio.Task[int], Any]]:
    copies = [Copy(f"service-{number}", make) for number, make in enumerate(makes)]
    stop = asyncio.Event()
    running = asyncio.create_task(serve(copies, Settings(state=tmp_path, health_port=0), stop))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(health_of(copies)), base_url="http://here") as health:
        try:
            yield running, health
        finally:
            stop.set()
            await asyncio.wait([running])


async def turns(count: int = 200) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_what_waits_is_begun_anew_until_kafka_is_there_and_the_others_are_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    flags = Fake("flags")
    attempts: list[Away] = []

    def again() -> Away:
        attempts.append(Away("decider"))
        return attempts[-1]

    caplog.set_level(logging.INFO)
    async with serving(tmp_path, lambda: flags, again) as (running, health):
        await turns()
        answer = await health.get("/health/ready")
        assert (answer.status_code, answer.json()) == (
            503,
            {"ready": False, "waiting": {"service-1": "no Kafka at here:9092"}},
        )
        assert (await health.get("/health/live")).status_code == 200
        assert len(attempts) > 3
        assert not running.done()
        assert "service-1 waits for Kafka" in caplog.text
        Away.kafka = True
        await turns()
        answer = await health.get("/health/ready")
        assert (answer.status_code, answer.json()) == (200, {"ready": True})
        assert flags.stops == 0
        assert all(one.stops == 1 for one in attempts[:-1])
        assert "ready: service-0, service-1" in caplog.text
    assert running.result() == 0
    assert flags.stops == 1


async def test_one_that_stands_is_watched_while_another_waits(tmp_path: Path) -> None:
    flags = Fake("flags")
    async with serving(tmp_path, lambda: flags, lambda: Away("decider")) as (running, health):
        await turns()
        flags.lives = False
        assert (await health.get("/health/live")).status_code == 503
        assert await asyncio.wait_for(running, 10) == 1


async def test_what_waiting_cannot_heal_ends_the_process_with_its_reason(tmp_path: Path) -> None:
    taken = UnavailableError("cannot listen on 127.0.0.1:8014")
    async with serving(tmp_path, lambda: Away("decider"), lambda: Fake("console", taken)) as (running, _):
        with pytest.raises(UnavailableError, match="cannot listen"):
            await asyncio.wait_for(running, 10)
