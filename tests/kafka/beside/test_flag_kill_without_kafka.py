"""A kill with the broker dead: in force on every instance at once, kept on disk, recorded when the broker is back."""

from pathlib import Path

import httpx
import redis

from penstock.events import KillRequested
from penstock.settings import Settings
from tests.support.builders import an
from tests.support.deciders.slice import deploy
from tests.support.flags.world import (
    AS_OPERATOR,
    exposed,
    exposure_is,
    flag_control,
    pair_of,
    with_tokens,
    world,
)
from tests.support.plans import TARGET
from tests.support.stack import OwnKafka, OwnRedis, eventually, settings_on


async def test_a_kill_holds_on_two_instances_without_kafka_and_redis_and_is_recorded_later(
    own_kafka: OwnKafka, own_redis: OwnRedis, topic_prefix: str, tmp_path: Path
) -> None:
    broker, server = own_kafka(), own_redis()
    common = with_tokens(settings_on(broker, server, topic_prefix, tmp_path), tmp_path)
    one, two = pair_of(common)
    async with world(common) as around, flag_control(one) as first, flag_control(two) as second:
        await around.publish("deploys", deploy())
        await eventually(lambda: len(around.said("exposure.changed")) >= 2, "the first stage is exposed")
        await exposure_is(first, 1, 199)
        await exposure_is(second, 1, 199)
        assert first._store.get().revision == second._store.get().revision
        with redis.Redis.from_url(server.url) as client:
            await eventually(lambda: client.hget(f"penstock:flag:{TARGET}", "version") == b"2", "the view has it")
        broker.kill()
        server.kill()
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{one.ofrep_port}") as client:
            answer = await client.post(f"/flags/{TARGET}/kill", json={"reason": "broken"}, headers=AS_OPERATOR)
            assert answer.status_code == 200, answer.text
            said = answer.json()
            assert said["instances"] == {"killed": 2, "of": 2, "unreached": []}
            assert said["recorded"] is False
            assert await exposed(first) == 0
            assert await exposed(second) == 0
            spool = one.state / "flag_control" / "flags-0" / "kills.jsonl"
            assert said["kill"] in spool.read_text()
            assert (await client.post(f"/flags/{TARGET}/archive", json={"reason": "x"}, headers=AS_OPERATOR)).is_error
        broker.start()
        await eventually(
            # Each instance says what was accepted: the same fact may come twice, but never under a second id.
            lambda: {event.kill for event in around.said("flag.killed")} == {said["kill"]},
            "the kill is recorded",
            patience=60,
        )
        await eventually(lambda: spool.read_text() == "", "the spool is empty")
        assert len({event.id for event in around.said("flag.killed")}) == 1
        assert await exposed(second) == 0


async def test_a_kill_on_disk_survives_its_instance_and_holds_before_anything_is_served(
    stack_settings: Settings, tmp_path: Path
) -> None:
    settings = with_tokens(stack_settings, tmp_path)
    async with world(settings) as around:
        async with flag_control(settings) as service:
            await around.publish("deploys", deploy())
            await eventually(lambda: len(around.said("exposure.changed")) >= 2, "the first stage is exposed")
            await exposure_is(service, 1, 199)

            service._spool.add(an(KillRequested, id="left-behind", target=TARGET))
        async with flag_control(settings) as again:
            assert await exposed(again) == 0
            await eventually(lambda: bool(around.said("flag.killed")), "the kill is recorded")
            assert len({event.id for event in around.said("flag.killed")}) == 1
