"""A deploy whose plan is not registered is refused; after registration it is redriven, and starts one rollout.

Also when the console is killed (SIGKILL) between the publication and the mark: redriven again, it is a repeat.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import httpx
from aiokafka import AIOKafkaProducer, TopicPartition

from penstock.events import DeployRepeated, PlanRegistered, RolloutAnnounced
from penstock.local.ports import free_ports
from penstock.settings import Settings, variable_of
from penstock.tokens import digest_of
from services.console.app import Console
from services.console.redrive import COUNT
from services.runtime.kafka.connection import connection, named, read_span
from services.runtime.process.service import system_clock
from tests.support.builders import deployed
from tests.support.deciders.on_kafka import control, world
from tests.support.plans import SHORT
from tests.support.stack import eventually

TOKENS = f"""
tokens:
  - {{sha256: {digest_of("plan-token")}, identity: pat, roles: [planner]}}
  - {{sha256: {digest_of("op-token")}, identity: olga, roles: [operator]}}
"""
OPERATOR = {"authorization": "Bearer op-token"}
KILLED = """
import asyncio, os, signal
import services.console.redrive as redrive
from penstock.settings import load_settings
from services.console.app import Console
from services.runtime.process.service import system_clock

def killed(*_):
    os.kill(os.getpid(), signal.SIGKILL)

async def run():
    redrive.mark_headers = killed
    await Console(load_settings(os.environ), system_clock).start()
    await asyncio.Event().wait()

asyncio.run(run())
"""


def with_tokens(settings: Settings, folder: Path) -> Settings:
    path = folder / "tokens.yaml"
    path.write_text(TOKENS)
    return settings.model_copy(update={"tokens": path})


@asynccontextmanager
async def console_on(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    service = Console(settings, system_clock)
    await service.start()
    try:
        await eventually(service.ready, "the console is ready")
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{service.port}", timeout=30) as client:
            yield client
    finally:
        await service.stop()


@contextmanager
def killed_at_the_mark(settings: Settings) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Give the address of a console in its own process that is killed after it has published a redriven input."""
    (port,) = free_ports(1)
    killed = settings.model_copy(update={"console_port": port, "state": settings.state / "killed"})
    given = killed.model_dump(mode="json", exclude_defaults=True)
    variables = {variable_of(name): str(value) for name, value in given.items() if value is not None}
    environment = {**os.environ, **variables}
    process = subprocess.Popen([sys.executable, "-c", KILLED], env=environment)
    try:
        yield f"http://127.0.0.1:{port}", process
    finally:
        process.kill()
        process.wait()


async def the_letter(client: httpx.AsyncClient) -> dict:
    for _ in range(200):
        letters = (await client.get("/api/dead-letters")).json().get("dead_letters")
        if letters:
            (letter,) = letters
            return letter
        await asyncio.sleep(0.1)
    raise AssertionError("no dead letter")


async def redrive(client: httpx.AsyncClient, place: str) -> dict:
    body = {"ids": [place], "reason": "the plan is registered"}
    answer = await client.post("/api/dead-letters/redrive", json=body, headers=OPERATOR)
    (result,) = answer.json()["results"]
    return result


async def send_deploy(settings: Settings) -> None:
    producer = AIOKafkaProducer(**connection(settings), acks="all")
    await producer.start()
    await producer.send_and_wait(named(settings, "deploy-intake"), json.dumps(deployed(1)).encode(), partition=4)
    await producer.stop()


async def register(client: httpx.AsyncClient) -> None:
    headers = {"authorization": "Bearer plan-token"}
    answer = await client.post("/api/plans", content=SHORT.encode(), headers=headers)
    assert answer.status_code == 200, answer.text


async def intake(settings: Settings) -> list:
    found: list = []
    await read_span(settings, {TopicPartition(named(settings, "deploy-intake"), 4): 0}, found.append)
    return found


async def test_a_refused_deploy_is_redriven_after_registration_and_starts_one_rollout(
    stack_settings: Settings, tmp_path: Path
) -> None:
    settings = with_tokens(stack_settings, tmp_path)
    async with world(settings) as (_, heard), control(settings), console_on(settings) as client:
        await send_deploy(settings)
        letter = await the_letter(client)
        assert letter["place"] == "deploy-intake/4@0"
        assert "plan" in letter["problem"]
        await register(client)
        assert (await redrive(client, letter["place"]))["outcome"] == "redriven"
        await eventually(lambda: _count(heard, RolloutAnnounced) == 1, "the rollout is announced")
        again = await redrive(client, letter["place"])
        assert again["outcome"] == "repeated"
        assert "olga" in again["detail"]
        first, second = await intake(settings)
        assert (second.value, dict(second.headers)[COUNT]) == (first.value, b"1")
    async with console_on(settings) as client:
        assert (await redrive(client, "deploy-intake/4@0"))["outcome"] == "repeated"


async def test_a_console_that_is_killed_before_the_mark_repeats_an_input_that_is_recognised(
    stack_settings: Settings, tmp_path: Path
) -> None:
    settings = with_tokens(stack_settings, tmp_path)
    async with world(settings) as (_, heard), control(settings):
        async with console_on(settings) as client:
            await send_deploy(settings)
            await the_letter(client)
            await register(client)
            await eventually(lambda: _count(heard, PlanRegistered) == 1, "the plan is registered")
        with killed_at_the_mark(settings) as (address, process):
            async with httpx.AsyncClient(base_url=address, timeout=30) as client:
                await _until_it_knows_the_letter(client)
                with suppress(httpx.HTTPError):
                    await redrive(client, "deploy-intake/4@0")
            assert await asyncio.to_thread(process.wait, 20) == -9
        assert len(await intake(settings)) == 2
        async with console_on(settings) as client:
            await eventually(lambda: _count(heard, RolloutAnnounced) == 1, "the rollout is announced", patience=60)
            letter = await the_letter(client)
            assert letter["redriven"] is None
            assert (await redrive(client, letter["place"]))["outcome"] == "redriven"
            await eventually(lambda: _count(heard, DeployRepeated) == 1, "the repeat is recognised")
            assert _count(heard, RolloutAnnounced) == 1
            assert (await the_letter(client))["redriven"]["by"] == "olga"


async def _until_it_knows_the_letter(client: httpx.AsyncClient) -> None:
    for _ in range(300):
        try:
            if (await client.get("/api/dead-letters")).json().get("dead_letters"):
                return
        except httpx.HTTPError:
            pass
        await asyncio.sleep(0.1)
    raise AssertionError("the console that is to be killed knows no letter")


def _count(heard: list, kind: type) -> int:
    return sum(isinstance(one.event, kind) for one in heard)
