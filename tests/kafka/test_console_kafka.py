"""The console on a real broker: what CI sends by HTTP or Kafka arrives once, and nothing beside a bad event is lost."""

import asyncio
import json

import httpx
import pytest
from aiokafka import AIOKafkaProducer

from penstock.events import CommandRefused, StageEntered, from_json
from penstock.events.cloudevents import to_kafka
from penstock.ids import rollout_id
from penstock.partitioner import partition_of
from penstock.tokens import digest_of
from services.console.app import Console
from services.runtime.kafka.connection import connection, named
from services.runtime.process.service import system_clock
from tests.support.builders import an, deployed, example
from tests.support.plans import SHORT, TARGET
from tests.support.stack import eventually

TOKENS = f"""
tokens:
  - {{sha256: {digest_of("ci-token")}, identity: ci, roles: [publisher]}}
  - {{sha256: {digest_of("op-token")}, identity: olga, roles: [operator]}}
"""
CI = {"authorization": "Bearer ci-token"}


@pytest.fixture
async def console(stack_settings, tmp_path):
    path = tmp_path / "tokens.yaml"
    path.write_text(TOKENS)
    service = Console(stack_settings.model_copy(update={"tokens": path}), system_clock)
    await service.start()
    await eventually(service.ready, "the console is ready")
    yield service
    await service.stop()


@pytest.fixture
async def producer(stack_settings):
    producer = AIOKafkaProducer(**connection(stack_settings), acks="all")
    await producer.start()
    yield producer
    await producer.stop()


@pytest.fixture
async def http(console):
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{console.port}", timeout=20) as client:
        yield client


async def heard(http, **query):
    return (await http.get("/api/events", params=query)).json()["events"]


async def until(condition, what, patience=20.0):
    deadline = asyncio.get_running_loop().time() + patience
    while not (found := await condition()):
        assert asyncio.get_running_loop().time() < deadline, what
        await asyncio.sleep(0.05)
    return found


async def test_a_deploy_by_http_arrives_on_its_target_and_is_named_at_once(http):
    answer = await http.post("/events", json=deployed(1, planText=SHORT), headers=CI)
    assert answer.status_code == 202
    assert answer.json() == {"accepted": [{"id": "d-1", "target": TARGET, "rollout": rollout_id("/ci", "d-1", TARGET)}]}

    (entry,) = await until(lambda: heard(http, types="deploy.announced"), "the deploy is heard")
    assert entry["partition"] == partition_of(TARGET)
    assert entry["event"]["actor"] == "ci"


async def test_bad_records_beside_a_good_one_become_dead_letters_and_nothing_is_lost(
    http, console, producer, stack_settings
):
    topic = named(stack_settings, "deploy-intake")
    good = json.dumps(deployed(2, planText=SHORT)).encode()
    await producer.send_and_wait(topic, b"\xff not json", key=b"any", headers=[("x", b"\xff\xfe")], partition=0)
    await producer.send_and_wait(topic, json.dumps(deployed(3, planText="version: 7")).encode(), partition=0)
    await producer.send_and_wait(topic, good, headers=[("nothing", None), ("blob", b"\xff")], partition=0)
    await producer.send_and_wait(topic, None, key=b"tombstone", partition=0)

    (entry,) = await until(lambda: heard(http, types="deploy.announced"), "the good one is heard")
    assert entry["event"]["id"] == "d-2"

    async def three_letters():
        letters = (await http.get("/api/dead-letters")).json()["dead_letters"]
        return letters if len(letters) == 3 else None

    letters = await until(three_letters, "three dead letters")
    by_offset = {letter["offset"]: letter for letter in letters}
    assert by_offset[0]["topic"] == "deploy-intake"
    assert "not JSON" in by_offset[0]["reason"]
    assert "planText" in by_offset[1]["reason"]
    assert by_offset[1]["service"] == "console"


async def test_a_record_is_done_only_after_its_deploy_is_safe(console, http, producer, stack_settings):
    await producer.send_and_wait(
        named(stack_settings, "deploy-intake"), json.dumps(deployed(4, planText=SHORT)).encode(), partition=1
    )
    await until(lambda: heard(http, types="deploy.announced"), "the deploy is heard")
    again = Console(stack_settings, system_clock)
    await again.start()
    try:
        await eventually(again.ready, "the second console is ready")
        await asyncio.sleep(1.0)
        assert len(await heard(http, types="deploy.announced")) == 1
    finally:
        await again.stop()


async def test_a_command_is_answered_with_the_event_that_it_caused(console, http, producer, stack_settings):
    announced = an_announced()
    entered = an(StageEntered, target=TARGET, rollout=announced["rollout"], sequence=2, index=0, stage="canary")
    for event in (from_json(announced), entered):
        await say(producer, stack_settings, "rollouts", event)
    rollout = announced["rollout"]

    async def known():
        return (await http.get(f"/api/rollouts/{rollout}")).is_success

    await until(known, "the rollout is known")

    async def rollout_control():
        (request,) = await until(lambda: heard(http, types="hold.requested"), "the command is heard")
        assert request["event"]["expected"] == {"sequence": 2}
        refused = an(CommandRefused, target=TARGET, rollout=rollout, cause=request["event"]["id"])
        await say(producer, stack_settings, "rollouts", refused)

    control = asyncio.create_task(rollout_control())
    headers = {"authorization": "Bearer op-token", "idempotency-key": "k1"}
    body = {"reason": "look closer", "expected": {"sequence": 2}}
    answer = await http.post(f"/api/rollouts/{rollout}/hold", json=body, headers=headers)
    await control
    assert answer.status_code == 409
    assert answer.json()["refusal"]["type"] == "command.refused"
    assert answer.json()["rollout"]["stage"] == "canary"

    repeated = await http.post(f"/api/rollouts/{rollout}/hold", json=body, headers=headers)
    assert repeated.json()["refusal"] == answer.json()["refusal"]
    assert len(await heard(http, types="hold.requested")) == 1


def an_announced():
    plan = {"plan_text": SHORT, "plan_name": "banner", "stages": [{"name": "canary", "exposure": 0.25}]}
    return {**example("rollout.announced"), "target": TARGET, "rollout": "ro-000000000001", **plan}


async def say(producer, settings, topic, event):
    key, value, headers = to_kafka(event)
    partition = partition_of(event.target)
    await producer.send_and_wait(named(settings, topic), value, key=key, headers=headers, partition=partition)
