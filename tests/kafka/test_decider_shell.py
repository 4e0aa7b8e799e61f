"""The decider's shell on a real broker: restarts, snapshots, two copies at once, and input that cannot be read."""

import asyncio
from datetime import datetime, timedelta

import pytest
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from penstock.errors import EvidenceExpiredError
from penstock.events import HoldRequested, Request, ResumeRequested, RolloutHeld, Why
from penstock.partitioner import partition_of
from penstock.settings import Settings
from services.rollout_control.app import build
from services.runtime.kafka.appender import Appender
from services.runtime.kafka.connection import connection, named
from services.runtime.kafka.reader import Heard
from services.runtime.kafka.republisher import Republisher
from services.runtime.kafka.snapshots import newest_generations
from services.runtime.kafka.subscriber import PositionedSubscriber
from services.runtime.process.service import Parked, system_clock
from tests.support.deciders.logs import dead_letters, others
from tests.support.deciders.on_kafka import control, world
from tests.support.deciders.slice import deploy
from tests.support.metrics.windows import moment
from tests.support.plans import TARGET
from tests.support.stack import eventually

HERE = partition_of(TARGET)


def command(number: int) -> Request:
    kind = ResumeRequested if number % 2 else HoldRequested
    return kind(
        id=f"command-{number}", source="/console", target=TARGET, time=moment(number), actor="bob", reason="because"
    )


def past_the_dead_man_timer() -> datetime:
    """Two hours from now: the plan's dead-man timer is due one hour after the deploy was received."""
    return system_clock() + timedelta(hours=2)


def grounds(heard: list[Heard]) -> list[Why]:
    return [one.event.ground.why for one in heard if isinstance(one.event, RolloutHeld)]


async def remove(settings: Settings, topic: str, before: int) -> None:
    admin = AIOKafkaAdminClient(**connection(settings))
    await admin.start()
    try:
        await admin.delete_records({TopicPartition(named(settings, topic), HERE): RecordsToDelete(before)})
    finally:
        await admin.close()


def ids(heard: list[Heard]) -> list[str]:
    return [one.event.id for one in heard]


async def test_a_restart_goes_on_from_the_snapshot_and_says_nothing_twice(stack_settings: Settings) -> None:
    settings = stack_settings.model_copy(update={"snapshot_every": 10})
    async with world(settings) as (publish, heard):
        async with control(settings):
            await publish("deploys", deploy())
            await eventually(
                lambda: len(heard) == 3, "the deploy is decided before the commands, on another topic, are heard"
            )
            for number in range(25):
                await publish("commands", command(number))
            await eventually(lambda: len(heard) == 28, "all decisions are public")
            await asyncio.sleep(0.5)
        generations = await newest_generations(settings, next(t for t in _logs() if t.name == "rollout-log"))
        assert HERE in generations
        assert generations[HERE].fold.next_offset > 10
        async with control(settings) as shell:
            await publish("commands", command(25))
            await eventually(lambda: len(heard) == 29, "the decision after the restart is public")
            assert shell.document(TARGET)["rollout"]["sequence"] == 28
        assert len(set(ids(heard))) == 29


async def test_two_copies_at_once_decide_everything_once(stack_settings: Settings) -> None:
    async with (
        world(stack_settings) as (publish, heard),
        control(stack_settings) as one,
        control(stack_settings) as two,
    ):
        await publish("deploys", deploy())
        for number in range(60):
            await publish("commands", command(number))
        await eventually(lambda: len(set(ids(heard))) == 63, "all decisions are public")
        await eventually(lambda: one.document(TARGET) == two.document(TARGET), "both copies fold the same state")
        assert one.document(TARGET)["rollout"]["sequence"] == 62
    sequences = [one.event.sequence for one in _first(heard) if hasattr(one.event, "sequence")]
    assert sequences == sorted(sequences)


async def test_input_that_cannot_be_read_is_kept_with_its_reason_and_loses_nothing_beside_it(
    stack_settings: Settings,
) -> None:
    async with world(stack_settings) as (publish, heard), control(stack_settings):
        appender = Appender(stack_settings)
        await appender.start()
        await (await appender.append("deploys", HERE, b"x", b"\xff not json", [("ce_type", b"\xfe")]))
        await publish("deploys", deploy())
        await eventually(lambda: len(heard) == 3, "the good deploy is decided")
        (letter,) = await dead_letters(stack_settings)
        await appender.stop()
    headers = {key: value.decode() for key, value in letter.headers}
    assert headers["origin-topic"] == "deploys"
    assert headers["origin-offset"] == "0"
    assert headers["reason"]


async def test_decisions_that_a_crash_kept_from_the_public_are_said_after_the_restart(
    stack_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(stack_settings) as (publish, heard):
        with monkeypatch.context() as silenced:
            silenced.setattr(Republisher, "offer", lambda *_: None)
            async with control(stack_settings) as shell:
                await publish("deploys", deploy())
                await eventually(lambda: bool(shell.document(TARGET)), "the deploy is decided")
        assert heard == []
        async with control(stack_settings):
            await eventually(lambda: len(heard) == 3, "the decisions are said")
    assert [one.event.type for one in heard] == ["plan.registered", "rollout.announced", "stage.entered"]


async def test_a_timer_that_is_due_after_a_restart_waits_for_the_command_that_stands_unread(
    stack_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(stack_settings) as (publish, heard):
        async with control(stack_settings):
            await publish("deploys", deploy())
            await eventually(lambda: len(heard) == 3, "the stage is entered and its dead-man timer armed")
        await publish("commands", command(0))
        poll, opened = PositionedSubscriber._poll, asyncio.Event()

        async def held_up(self: PositionedSubscriber, consumer: object) -> tuple[ConsumerRecord, ...]:
            if any(position.topic.endswith("commands") for position in self._expected):
                await opened.wait()
            return await poll(self, consumer)

        monkeypatch.setattr(PositionedSubscriber, "_poll", held_up)
        async with control(stack_settings, past_the_dead_man_timer) as shell:
            await asyncio.sleep(1)
            assert not shell.ready()
            assert len(shell.document(TARGET)["timers"]) == 1
            opened.set()
            await eventually(lambda: len(heard) == 4, "the command is decided")
            assert shell.ready()
    assert grounds(heard) == [Why.PERSON]


async def test_a_timer_that_is_due_after_a_restart_fires_where_nothing_stands_unread(stack_settings: Settings) -> None:
    async with world(stack_settings) as (publish, heard):
        async with control(stack_settings):
            await publish("deploys", deploy())
            await eventually(lambda: len(heard) == 3, "the stage is entered and its dead-man timer armed")
        async with control(stack_settings, past_the_dead_man_timer) as shell:
            await eventually(lambda: len(heard) == 4, "the dead-man timer fires")
            assert shell.alive()
    assert grounds(heard) == [Why.TELEMETRY_SILENT]


async def test_a_log_whose_beginning_is_gone_before_a_snapshot_stops_the_service_with_what_to_do(
    stack_settings: Settings,
) -> None:
    async with world(stack_settings) as (publish, heard):
        async with control(stack_settings):
            await publish("deploys", deploy())
            await eventually(lambda: len(heard) == 3, "the deploy is decided")
        await remove(stack_settings, "rollout-log", 1)
        shell = build(stack_settings, system_clock)
        with pytest.raises(EvidenceExpiredError, match=r"rollout-log-\d+ begins at offset 1, .* rollout-log.snapshots"):
            await shell.start()
        await shell.stop()


async def test_a_followed_log_whose_needed_records_are_gone_stops_the_service(stack_settings: Settings) -> None:
    async with others(stack_settings) as hand:
        await hand.decide("verdict-log", command(0), command(1))
        await remove(stack_settings, "verdict-log", 2)
        shell = build(stack_settings, system_clock)
        with pytest.raises(EvidenceExpiredError, match=r"verdict-log-\d+ begins at offset 2"):
            await shell.start()
        await shell.stop()


async def test_a_record_of_another_log_that_is_too_new_is_kept_with_its_reason_and_its_target_shown(
    stack_settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    async with others(stack_settings) as hand, control(stack_settings) as shell:
        await hand.decide("verdict-log", command(0), schema=2)
        await eventually(lambda: bool(shell.parked()), "the target is parked")
        assert shell.parked() == (Parked(TARGET, "verdict-log", 0),)
        (letter,) = await dead_letters(stack_settings)
        await eventually(lambda: "is parked" in caplog.text, "the service's log says so")
        assert shell.alive()
    reason = dict(letter.headers)["reason"].decode()
    assert TARGET in reason
    assert "verdict-log has a record at offset 0" in reason
    said = [record for record in caplog.records if "is parked" in record.message]
    assert [record.levelname for record in said] == ["ERROR"]


def _first(heard: list[Heard]) -> list[Heard]:
    seen: set[str] = set()
    return [one for one in heard if not (one.event.id in seen or seen.add(one.event.id))]  # type: ignore[func-returns-value]


def _logs() -> tuple[object, ...]:
    from penstock.topics import LOGS

    return LOGS
