"""Every request about a flag is on `commands`, granted or refused, and is decided once, however often it is there."""

import asyncio
from pathlib import Path

import httpx

from penstock.events import BY_TYPE, FlagRequest, KillRequested
from penstock.settings import Settings
from penstock.topics import BY_NAME
from tests.support.builders import an
from tests.support.deciders.slice import deploy
from tests.support.flags.world import AS_OPERATOR, World, exposed, flag_control, pair_of, with_tokens, world
from tests.support.plans import TARGET
from tests.support.stack import OwnKafka, OwnRedis, eventually, settings_on

REQUESTS = [name for name in BY_NAME["commands"].carries if issubclass(BY_TYPE[name], FlagRequest)]


async def ask(client: httpx.AsyncClient, target: str, verb: str, **fields: object) -> httpx.Response:
    return await client.post(f"/flags/{target}/{verb}", json={"reason": "why", **fields}, headers=AS_OPERATOR)


async def test_each_type_is_published_once_by_the_write_path_granted_or_refused(
    stack_settings: Settings, tmp_path: Path
) -> None:
    settings, target = with_tokens(stack_settings, tmp_path), "staging/shop/banner"
    async with world(settings) as around, flag_control(settings) as service:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{service.ofrep_port}") as client:
            answers = [await ask(client, target, "definition", definition={})]
            answers.append(await ask(client, target, "opt-out", values=["ann"]))
            killed = await ask(client, target, "kill")
            await eventually(lambda: bool(around.said("flag.killed")), "the kill is recorded")
            answers.append(await ask(client, target, "undo", kill=killed.json()["kill"]))
            answers.append(await ask(client, target, "archive", variant="nothing"))
            answers.append(await ask(client, target, "archive", variant="off"))
        await eventually(lambda: bool(around.said("flag.archived")), "the last request is decided")
        assert [answer.status_code for answer in answers] == [200, 200, 200, 409, 200]
        asked = {kind: [one.id for one in around.said(kind)] for kind in REQUESTS}
        assert {kind: len(ids) for kind, ids in asked.items()} == {
            "kill.requested": 1,
            "undo.requested": 1,
            "opt_out.requested": 1,
            "flag.submitted": 1,
            "archive.requested": 2,
        }
        assert asked["kill.requested"] == [killed.json()["kill"]]
        refused, archived = around.said("edit.refused"), around.said("flag.archived")
        assert [refused[0].cause, archived[0].cause] == asked["archive.requested"]
        assert (len(refused), len(archived)) == (1, 1)
        await _again(around, target)


async def _again(around: World, target: str) -> None:
    """A request that is there twice changes nothing, and a record that is no event stops nobody."""
    (archive, _) = around.said("archive.requested")
    await around.publish("commands", archive)
    await around.raw("commands", target, b"\xff no event")
    await around.publish("commands", an(KillRequested, id="through-kafka", target=target))
    await eventually(lambda: len(around.said("flag.killed")) == 2, "the input behind them is decided")
    assert len(around.said("edit.refused")) == 1


async def test_a_kill_without_kafka_is_published_under_its_id_when_kafka_is_back(
    own_kafka: OwnKafka, own_redis: OwnRedis, topic_prefix: str, tmp_path: Path
) -> None:
    broker = own_kafka()
    one, two = pair_of(with_tokens(settings_on(broker, own_redis(), topic_prefix, tmp_path), tmp_path))
    async with world(one) as around, flag_control(one) as first, flag_control(two):
        await around.publish("deploys", deploy())
        await eventually(lambda: len(around.said("exposure.changed")) >= 2, "the first stage is exposed")
        broker.kill()
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{one.ofrep_port}") as client:
            answer = (await ask(client, TARGET, "kill")).json()
        assert (answer["in_force"], answer["recorded"], await exposed(first)) == (True, False, 0)
        broker.start()
        await eventually(lambda: bool(around.said("flag.killed")), "the kill is recorded", patience=60)
        # Longer than a peer waits before it publishes what it was told.
        await asyncio.sleep(6)
        assert {one.id for one in around.said("kill.requested")} == {answer["kill"]}
        assert {one.kill for one in around.said("flag.killed")} == {answer["kill"]}
        assert len({one.version for one in around.said("flag.killed")}) == 1
