"""Flag control beside rollout control on a real broker, and what they say."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from penstock.events import Event
from penstock.events.cloudevents import to_kafka
from penstock.local.ports import free_ports
from penstock.partitioner import partition_of
from penstock.settings import Settings
from penstock.tokens import digest_of
from services.flag_control.app import FlagControl
from services.rollout_control.app import build as build_rollout_control
from services.runtime.kafka.appender import Appender
from services.runtime.kafka.connection import ensure_topics
from services.runtime.kafka.reader import Heard, PublicReader
from services.runtime.process.service import system_clock
from tests.support.plans import TARGET

TOKEN = "operator-token-of-this-test"
AS_OPERATOR = {"authorization": f"Bearer {TOKEN}"}
KEY = TARGET.split("/")[2]


def with_tokens(settings: Settings, folder: Path, **changes: object) -> Settings:
    """Return the settings with a tokens file that knows one operator, ann."""
    tokens = folder / "tokens.yaml"
    tokens.write_text(f"tokens: [{{sha256: {digest_of(TOKEN)}, identity: ann, roles: [operator]}}]\n")
    return settings.model_copy(update={"tokens": tokens, **changes})


def pair_of(common: Settings) -> tuple[Settings, Settings]:
    """Return the settings of two instances that are each other's peer."""
    ports = free_ports(2)
    one, two = (
        common.model_copy(
            update={"instance": f"flags-{n}", "ofrep_port": ports[n], "peers": f"http://127.0.0.1:{ports[1 - n]}"}
        )
        for n in (0, 1)
    )
    return one, two


@asynccontextmanager
async def flag_control(settings: Settings) -> AsyncIterator[FlagControl]:
    service = FlagControl(settings, system_clock)
    await service.start()
    try:
        yield service
    finally:
        await service.stop()


class World:
    def __init__(self, settings: Settings, appender: Appender, heard: list[Heard]) -> None:
        self.settings, self._appender, self.heard = settings, appender, heard

    async def publish(self, topic: str, event: Event) -> None:
        key, value, headers = to_kafka(event)
        await (await self._appender.append(topic, partition_of(event.target), key, value, headers))

    async def raw(self, topic: str, target: str, value: bytes) -> None:
        """Write a record that is no event to the target's partition."""
        await (await self._appender.append(topic, partition_of(target), target.encode(), value, ()))

    def said(self, kind: str) -> list[Event]:
        return [one.event for one in self.heard if one.event.type == kind]


@asynccontextmanager
async def world(settings: Settings) -> AsyncIterator[World]:
    await ensure_topics(settings)
    appender, heard = Appender(settings), []
    await appender.start()
    reader = PublicReader(settings, ["commands", "rollouts", "flag-changes", "flag-served"], heard.append)
    await reader.start()
    control = build_rollout_control(settings, system_clock)
    await control.start()
    try:
        yield World(settings, appender, heard)
    finally:
        await control.stop()
        await reader.stop()
        await appender.stop()


async def exposed(service: FlagControl, users: int = 200) -> int:
    """Ask OFREP for that many users; return how many get the release."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{service.ofrep_port}") as client:
        found = 0
        for number in range(users):
            body = {"context": {"targetingKey": f"user-{number}", "email": "a@example.com"}}
            answer = await client.post(f"/ofrep/v1/evaluate/flags/{KEY}", json=body)
            found += answer.status_code == 200 and answer.json()["value"] is True
        return found


async def exposure_is(service: FlagControl, low: int, high: int) -> None:
    for _ in range(100):
        if low <= await exposed(service) <= high:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{await exposed(service)} of 200 exposed, not {low} to {high}")
