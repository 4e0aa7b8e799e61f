"""Flag control on a real broker: exposure reaches clients, a rollback takes it from them, a kill stays in force."""

import asyncio
import threading
from pathlib import Path

import grpc
import httpx
import pytest
from openfeature.schemas.protobuf.flagd.sync.v1 import sync_pb2, sync_pb2_grpc

from penstock.events import RollbackRequested
from penstock.settings import Settings
from services.flag_control.fallback.last_good import LastGood
from services.flag_control.flag.state import load
from tests.support.deciders.slice import deploy
from tests.support.flags.world import AS_OPERATOR, exposed, exposure_is, flag_control, with_tokens, world
from tests.support.metrics.windows import moment
from tests.support.plans import TARGET
from tests.support.stack import eventually


@pytest.fixture
def flag_settings(stack_settings: Settings, tmp_path: Path) -> Settings:
    return with_tokens(stack_settings, tmp_path)


async def test_a_stage_exposes_users_and_a_rollback_takes_it_back_and_both_are_said(flag_settings: Settings) -> None:
    async with world(flag_settings) as around, flag_control(flag_settings) as service:
        await around.publish("deploys", deploy())
        await eventually(lambda: len(around.said("exposure.changed")) >= 2, "the first stage is exposed")
        assert 0 < around.said("exposure.changed")[-1].exposure < 1
        await exposure_is(service, 1, 199)
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{service.sync_port}")
        stream = sync_pb2_grpc.FlagSyncServiceStub(channel).SyncFlags(
            sync_pb2.SyncFlagsRequest(selector="flagSetId=staging/shop")
        )
        assert "targeting" in (await stream.read()).flag_configuration
        request = RollbackRequested(
            id="back", source="/console", target=TARGET, time=moment(1), actor="ann", reason="looks wrong"
        )
        await around.publish("commands", request)
        await eventually(lambda: around.said("exposure.changed")[-1].exposure == 0.0, "the rollback is applied")
        await exposure_is(service, 0, 0)
        last = around.said("exposure.changed")[-1]
        assert last.entry == around.said("rollback.started")[0].id
        assert "targeting" not in (await asyncio.wait_for(stream.read(), 10)).flag_configuration
        await eventually(
            lambda: (
                [(one.streams, one.served) for one in around.said("flag.served") if one.version == last.version][-1:]
                == [(1, 1)]
            ),
            "what was served to how many streams is said",
        )
        stream.cancel()
        await channel.close()


async def test_a_restart_serves_the_same_revision(flag_settings: Settings) -> None:
    async with world(flag_settings) as around:
        async with flag_control(flag_settings) as service:
            await around.publish("deploys", deploy())
            await eventually(lambda: len(around.said("exposure.changed")) >= 2, "the first stage is exposed")
            await exposure_is(service, 1, 199)
            before = service._store.get()
        async with flag_control(flag_settings) as again:
            after = again._store.get()
    assert before is not None
    assert after is not None
    assert after.revision == before.revision


async def test_a_kill_is_in_force_before_the_answer_and_is_recorded_and_lifted_by_name_only(
    flag_settings: Settings,
) -> None:
    async with world(flag_settings) as around, flag_control(flag_settings) as service:
        await around.publish("deploys", deploy())
        await eventually(lambda: len(around.said("exposure.changed")) >= 2, "the first stage is exposed")
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{service.ofrep_port}") as client:
            assert (await client.post(f"/flags/{TARGET}/kill", json={"reason": "broken"})).status_code == 401
            answer = await client.post(f"/flags/{TARGET}/kill", json={"reason": "broken"}, headers=AS_OPERATOR)
            assert answer.status_code == 200, answer.text
            assert answer.json()["instances"] == {"killed": 1, "of": 1, "unreached": []}
            assert await exposed(service) == 0
            kill = answer.json()["kill"]
            await eventually(lambda: {one.kill for one in around.said("flag.killed")} == {kill}, "the kill is said")
            await eventually(lambda: bool(around.said("rollback.started")), "the rollout is taken back")
            assert around.said("rollback.started")[0].ground.why == "flag_killed"
            wrong = await client.post(
                f"/flags/{TARGET}/undo", json={"reason": "fine", "kill": "another"}, headers=AS_OPERATOR
            )
            assert wrong.status_code == 409
            right = await client.post(
                f"/flags/{TARGET}/undo", json={"reason": "fine", "kill": kill}, headers=AS_OPERATOR
            )
            assert right.status_code == 200, right.text
            assert [event["type"] for event in right.json()["events"]] == ["kill.lifted"]
            shown = (await client.get(f"/flags/{TARGET}", headers=AS_OPERATOR)).json()
            assert shown["killed"] == []
            assert shown["exposure"] == 0.0, "the rollout was taken back meanwhile"


async def test_an_instance_that_died_before_it_could_report_reports_after_its_restart_and_counts_only_who_has_it(
    flag_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.flag_control.served_reports.RECONNECT_SECONDS", 2.0)
    async with world(flag_settings) as around:
        async with flag_control(flag_settings) as service:
            await around.publish("deploys", deploy())
            await eventually(lambda: len(around.said("exposure.changed")) >= 2, "the first stage is exposed")
            await eventually(
                lambda: any(one.version == 2 for one in around.said("flag.served")), "the first stage is reported"
            )
            # What dies between the accepted record and its report says nothing more.
            monkeypatch.setattr(service._reports, "_emit", lambda _: None)
            request = RollbackRequested(
                id="back", source="/console", target=TARGET, time=moment(1), actor="ann", reason="looks wrong"
            )
            await around.publish("commands", request)
            await eventually(lambda: around.said("exposure.changed")[-1].exposure == 0.0, "the rollback is applied")
            safe = around.said("exposure.changed")[-1].version
        assert all(one.version < safe for one in around.said("flag.served"))
        async with flag_control(flag_settings) as again:
            channel = grpc.aio.insecure_channel(f"127.0.0.1:{again.sync_port}")
            stream = sync_pb2_grpc.FlagSyncServiceStub(channel).SyncFlags(
                sync_pb2.SyncFlagsRequest(selector="flagSetId=staging/shop")
            )
            await stream.read()
            await eventually(
                lambda: [one.version for one in around.said("flag.served")][-1:] == [safe], "the safe version is said"
            )
            last = around.said("flag.served")[-1]
            assert (last.streams, last.served, last.elapsed_ms) == (1, 1, None)
            stream.cancel()
            await channel.close()


async def test_a_rollback_is_in_force_at_once_and_said_to_be_served_only_once_the_disk_has_it(
    flag_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = threading.Event()
    async with world(flag_settings) as around, flag_control(flag_settings) as service:
        await around.publish("deploys", deploy())
        await eventually(lambda: any(one.version == 2 for one in around.said("flag.served")), "the stage is reported")
        write = LastGood.write
        monkeypatch.setattr(LastGood, "write", lambda self, flags: (free.wait(), write(self, flags)))
        request = RollbackRequested(
            id="back", source="/console", target=TARGET, time=moment(1), actor="ann", reason="looks wrong"
        )
        try:
            await around.publish("commands", request)
            await exposure_is(service, 0, 0)
            await eventually(lambda: around.said("exposure.changed")[-1].exposure == 0.0, "the rollback is recorded")
            safe = around.said("exposure.changed")[-1].version
            await asyncio.sleep(1.5)
            assert all(one.version < safe for one in around.said("flag.served"))
        finally:
            free.set()
        await eventually(lambda: around.said("flag.served")[-1].version == safe, "it is said")
        (path,) = (flag_settings.state / "flag_control" / flag_settings.instance / "last-good").glob("*.flag")
        assert load(LastGood(path.parent).load()[TARGET].document).version == safe
