"""Records that no broker takes, and records of other programs in a log: passed with their reason, and nothing beside
them is lost."""

from pathlib import Path

from aiokafka import ConsumerRecord
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from penstock.events import Event
from penstock.partitioner import partition_of
from penstock.settings import Settings
from penstock.topics import PARTITIONS
from services.runtime.kafka.appender import Appender
from services.runtime.kafka.connection import connection, ensure_topics, named
from services.runtime.kafka.dead_letters import dead_letter
from tests.support.deciders.logs import dead_letters, headers_of
from tests.support.deciders.on_kafka import control, world
from tests.support.deciders.slice import deploy
from tests.support.plans import TARGET
from tests.support.stack import eventually

HERE = partition_of(TARGET)
LARGEST = 8 * 1024 * 1024


def with_notes(size: int) -> Event:
    large = deploy(number=7, version="7")
    return large.model_copy(update={"release": large.release.model_copy(update={"notes": "x" * size})})


async def test_rubbish_that_no_log_could_hold_is_dead_lettered_and_the_deploy_behind_it_is_decided(
    stack_settings: Settings,
) -> None:
    async with world(stack_settings) as (publish, heard), control(stack_settings) as shell:
        appender = Appender(stack_settings)
        await appender.start()
        await appender.append_and_wait("deploys", HERE, b"x", b"\xff" * (LARGEST - 1000))
        await publish("deploys", deploy())
        await eventually(lambda: len(heard) >= 3, "the good deploy is decided")
        assert shell.alive()
        (letter,) = await dead_letters(stack_settings)
        await appender.stop()
    headers = headers_of(letter)
    assert (headers["origin-topic"], headers["origin-offset"]) == ("deploys", "0")
    assert "at most" in headers["reason"]


async def test_a_decision_that_these_brokers_refuse_is_passed_with_its_reason_and_those_beside_it_are_said(
    stack_settings: Settings,
) -> None:
    admin = AIOKafkaAdminClient(**connection(stack_settings))
    await admin.start()
    smaller = {"max.message.bytes": "200000"}
    await admin.create_topics([NewTopic(named(stack_settings, "rollout-log"), PARTITIONS, 1, topic_configs=smaller)])
    await admin.close()
    async with world(stack_settings) as (publish, heard), control(stack_settings) as shell:
        await publish("deploys", with_notes(300_000))
        await publish("deploys", deploy())
        await eventually(lambda: len(heard) >= 3, "the good deploy is decided", patience=40)
        assert shell.alive()
        (letter,) = await dead_letters(stack_settings)
    assert headers_of(letter)["origin-offset"] == "0"
    assert {one.event.target for one in heard} == {TARGET}
    assert "7" not in {getattr(one.event, "version", None) for one in heard}


async def test_a_dead_letter_that_would_be_too_large_keeps_its_beginning_and_says_so(stack_settings: Settings) -> None:
    await ensure_topics(stack_settings)
    appender = Appender(stack_settings)
    await appender.start()
    value, headers = b"y" * LARGEST, (("of", b"theirs"),)
    record = ConsumerRecord("deploys", 3, 14, 0, 1, b"", value, None, 0, len(value), headers)
    await dead_letter(appender, "tests", record, "it is not JSON")
    (letter,) = await dead_letters(stack_settings)
    await appender.stop()
    assert letter.value == value[: 1024 * 1024]
    assert f"it is not JSON ({LARGEST} bytes: the first {1024 * 1024} are kept" in headers_of(letter)["reason"]


async def test_what_another_program_writes_into_logs_stops_nobody_and_is_kept_by_the_logs_own_service(
    stack_settings: Settings, tmp_path: Path
) -> None:
    other = stack_settings.model_copy(update={"state": tmp_path / "other"})
    async with world(stack_settings) as (publish, heard):
        noise = Appender(stack_settings)
        await noise.start()
        async with control(stack_settings) as shell, control(other) as second:
            await noise.append_and_wait("rollout-log", HERE, None, b"a line of another program")
            await noise.append_and_wait("verdict-log", HERE, None, b"{}")
            await publish("deploys", deploy())
            await eventually(lambda: len({one.event.id for one in heard}) == 3, "the deploy is decided")
            await eventually(lambda: second.document(TARGET) == shell.document(TARGET), "the other copy follows")
            assert shell.alive()
            assert second.alive()
        async with control(stack_settings) as again:
            assert again.document(TARGET)["rollout"]
        await noise.stop()
        letters = await dead_letters(stack_settings)
    assert {(headers_of(one)["origin-topic"], headers_of(one)["service"]) for one in letters} == {
        ("rollout-log", "rollout_control")
    }
    assert {one.value for one in letters} == {b"a line of another program"}
