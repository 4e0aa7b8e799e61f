"""An instance that starts while Kafka is away: the last good flags, kills above them, then the log, without a gap."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import httpx
from openfeature.schemas.protobuf.flagd.sync.v1 import sync_pb2, sync_pb2_grpc

from penstock.events import RollbackRequested
from penstock.settings import Settings
from services.flag_control.app import FlagControl
from tests.support.deciders.slice import deploy
from tests.support.flags.world import AS_OPERATOR, exposed, exposure_is, flag_control, pair_of, with_tokens, world
from tests.support.metrics.windows import moment
from tests.support.plans import TARGET
from tests.support.stack import OwnKafka, eventually, settings_on

FLAG_SET = "flagSetId=staging/shop"


async def asked(service: FlagControl, path: str) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{service.ofrep_port}") as client:
        answer = await client.get(path, headers=AS_OPERATOR)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


async def bulk_metadata(service: FlagControl) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{service.ofrep_port}") as client:
        answer = await client.post("/ofrep/v1/evaluate/flags", json={})
        found: dict[str, Any] = answer.json()["metadata"]
        return found


def stored(settings: Settings) -> Path:
    return settings.state / "flag_control" / settings.instance / "last-good"


async def first_stage(settings: Settings) -> None:
    """Expose the first stage, and let flag control go again."""
    async with world(settings) as around, flag_control(settings) as service:
        await around.publish("deploys", deploy())
        await eventually(lambda: len(around.said("exposure.changed")) >= 2, "the first stage is exposed")
        await exposure_is(service, 1, 199)


async def test_without_kafka_the_last_good_flags_are_served_and_killed_and_the_log_takes_their_place_without_a_gap(
    own_kafka: OwnKafka, topic_prefix: str, tmp_path: Path
) -> None:
    broker = own_kafka()
    settings = with_tokens(settings_on(broker, None, topic_prefix, tmp_path), tmp_path)
    await first_stage(settings)
    broker.stop()
    async with flag_control(settings) as service:
        assert 0 < await exposed(service) < 200
        assert service.ready()
        assert service.alive()
        assert (await asked(service, "/health/ready"))["stale"]["why"].startswith("Kafka was away")
        assert (await asked(service, "/flags"))["stale"]["newest"]
        assert (await bulk_metadata(service))["stale"] is True
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{service.sync_port}")
        stream = sync_pb2_grpc.FlagSyncServiceStub(channel).SyncFlags(sync_pb2.SyncFlagsRequest(selector=FLAG_SET))
        assert "targeting" in (await stream.read()).flag_configuration
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{service.ofrep_port}") as client:
            archive = {"reason": "x", "variant": "off"}
            refused = await client.post(f"/flags/{TARGET}/archive", json=archive, headers=AS_OPERATOR)
            assert refused.status_code == 503
            answer = await client.post(f"/flags/{TARGET}/kill", json={"reason": "broken"}, headers=AS_OPERATOR)
        assert answer.status_code == 200, answer.text
        said = answer.json()
        assert (said["in_force"], said["recorded"], said["streams"]) == (True, False, {"connected": 1, "served": 1})
        assert await exposed(service) == 0
        sent = [(await stream.read()).flag_configuration]
        assert "targeting" not in sent[0]

        async def read() -> None:
            async for message in stream:
                sent.append(message.flag_configuration)  # noqa: PERF401 - cancelled at the end, it must have what came

        reading = asyncio.create_task(read())
        broker.start()
        async with world(settings) as around:
            while (await asked(service, "/health/ready")).get("stale"):
                assert await exposed(service, 20) == 0
            await eventually(lambda: bool(around.said("flag.killed")), "the kill is recorded", patience=60)
            assert await exposed(service) == 0
            assert "stale" not in await asked(service, "/flags")
            assert "stale" not in await bulk_metadata(service)
        reading.cancel()
        await channel.close()
    assert not any("targeting" in one for one in sent), "no stream saw it enabled again"
    assert all("banner" in one for one in sent), "no stream saw an empty set"


async def test_a_rollback_before_the_restart_is_served_from_the_disk_and_a_kill_from_the_spool_goes_above_it(
    own_kafka: OwnKafka, topic_prefix: str, tmp_path: Path
) -> None:
    broker = own_kafka()
    settings = with_tokens(settings_on(broker, None, topic_prefix, tmp_path), tmp_path)
    async with world(settings) as around, flag_control(settings) as service:
        await around.publish("deploys", deploy())
        await eventually(lambda: len(around.said("exposure.changed")) >= 2, "the first stage is exposed")
        request = RollbackRequested(
            id="back", source="/console", target=TARGET, time=moment(1), actor="ann", reason="looks wrong"
        )
        await around.publish("commands", request)
        await exposure_is(service, 0, 0)
    broker.stop()
    async with flag_control(settings) as service:
        assert await exposed(service) == 0
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{service.ofrep_port}") as client:
            answer = await client.post(f"/flags/{TARGET}/kill", json={"reason": "broken"}, headers=AS_OPERATOR)
            assert answer.json()["in_force"] is True
    async with flag_control(settings) as service:
        shown = await asked(service, f"/flags/{TARGET}")
        assert shown["killed"] == [answer.json()["kill"]]
        assert await exposed(service) == 0


async def test_without_kafka_a_damaged_last_good_flag_is_left_out_and_the_service_goes_on(
    own_kafka: OwnKafka, topic_prefix: str, tmp_path: Path
) -> None:
    broker = own_kafka()
    settings = with_tokens(settings_on(broker, None, topic_prefix, tmp_path), tmp_path)
    await first_stage(settings)
    (path,) = stored(settings).glob("*.flag")
    path.write_bytes(path.read_bytes()[:-5])
    broker.stop()
    async with flag_control(settings) as service:
        assert not service.ready()
        assert service.alive()
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{service.ofrep_port}") as client:
            assert (await client.post("/ofrep/v1/evaluate/flags", json={})).status_code == 503
        broker.start()
        await eventually(service.ready, "the log is read", patience=60)
        assert 0 < await exposed(service) < 200
    assert list(stored(settings).glob("*.flag")) == [path], "it is whole again"


async def test_without_kafka_a_rollback_that_only_a_peer_has_heard_is_in_force_before_anything_is_served(
    own_kafka: OwnKafka, topic_prefix: str, tmp_path: Path
) -> None:
    broker = own_kafka()
    common = with_tokens(settings_on(broker, None, topic_prefix, tmp_path), tmp_path)
    one, two = pair_of(common)
    async with world(common) as around, flag_control(one) as first:
        async with flag_control(two) as second:
            await around.publish("deploys", deploy())
            await eventually(lambda: len(around.said("exposure.changed")) >= 2, "the first stage is exposed")
            await exposure_is(second, 1, 199)
        request = RollbackRequested(
            id="back", source="/console", target=TARGET, time=moment(1), actor="ann", reason="looks wrong"
        )
        await around.publish("commands", request)
        await exposure_is(first, 0, 0)
        await eventually(lambda: around.said("exposure.changed")[-1].exposure == 0.0, "the rollback is recorded")
        broker.stop()
        async with flag_control(two) as again:
            assert again.ready()
            assert (await asked(again, "/health/ready"))["stale"]
            assert await exposed(again) == 0
            assert await exposed(again) == await exposed(first)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{one.ofrep_port}") as client:
            for headers in ({}, AS_OPERATOR, {"authorization": "Peer x"}):
                assert (await client.get("/flags/peers/flags", headers=headers)).status_code == 401
    async with flag_control(two.model_copy(update={"peers": ""})) as alone:
        assert await exposed(alone) == 0, "what a peer said is on its own disk since"
