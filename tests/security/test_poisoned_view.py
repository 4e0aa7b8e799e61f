"""Attacks by Valkey: whoever writes there changes what its readers see for seconds, and never what Penstock decides."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis.asyncio

from penstock.chain import Document
from penstock.local.redis import LocalRedis
from services.flag_control.redis_view import KEY, RedisView

TARGET = "production/checkout/form"
OURS: Document = {"state": "ENABLED"}


class View:
    """The view of one target, and the attacker's connection."""

    def __init__(self, url: str) -> None:
        self.version = 5
        self.redis: Any = redis.asyncio.from_url(url)
        self.view = RedisView(url, lambda target: (self.version, OURS), check_seconds=0.1, ahead_seconds=0.3)

    async def shown(self) -> tuple[bytes, bytes] | None:
        if await self.redis.type(KEY + TARGET) != b"hash":
            return None
        return tuple(await self.redis.hmget(KEY + TARGET, "version", "flag"))

    async def is_ours(self) -> bool:
        return await self.shown() == (str(self.version).encode(), b'{"state":"ENABLED"}')


async def restored(view: View) -> None:
    """Return once the view shows what the log has."""
    async with asyncio.timeout(10):
        while not await view.is_ours():  # noqa: ASYNC110 - the server is asked
            await asyncio.sleep(0.02)


@pytest.fixture
async def world(valkey: LocalRedis) -> AsyncIterator[View]:
    view = View(valkey.url)
    view.view.start()
    view.view.changed(TARGET)
    await restored(view)
    yield view
    await view.view.stop()
    await view.redis.aclose()


@pytest.mark.parametrize("version", ["999999999", "1e300", "inf", "6", "nan", "", "-1", "5"])
async def test_a_poisoned_version_is_overwritten_whether_it_is_ahead_behind_or_equal(world: View, version: str) -> None:
    await world.redis.hset(KEY + TARGET, mapping={"version": version, "flag": '{"state":"EVIL"}'})
    await restored(world)


async def test_a_poisoned_version_does_not_keep_the_next_change_out(world: View) -> None:
    await world.redis.hset(KEY + TARGET, mapping={"version": "999999999", "flag": "{}"})
    world.version = 6
    world.view.changed(TARGET)
    await restored(world)


@pytest.mark.parametrize("command", [("SET", "x"), ("RPUSH", "x"), ("SADD", "x")])
async def test_a_key_of_another_kind_is_replaced_and_holds_up_no_other_flag(
    world: View, command: tuple[str, str]
) -> None:
    await world.redis.delete(KEY + TARGET)
    await world.redis.execute_command(command[0], KEY + TARGET, command[1])
    await restored(world)


async def test_a_version_that_another_instance_wrote_from_the_log_is_left_alone(world: View) -> None:
    newer = {"version": "6", "flag": '{"state":"NEWER"}'}
    await world.redis.hset(KEY + TARGET, mapping=newer)
    world.view.changed(TARGET)
    await asyncio.sleep(0.1)
    assert await world.shown() == (b"6", b'{"state":"NEWER"}')
