"""Notification on a real broker: each subscriber hears each event, through failures, restarts and slow neighbours."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from penstock.events import (
    DeliveryFailed,
    DeliverySucceeded,
    Event,
    RollbackEscalated,
    RollbackStarted,
    RolloutAnnounced,
    StageEntered,
)
from penstock.events.cdevents.model import from_cdevent
from penstock.settings import Settings
from services.notification import deliver, schedule
from services.notification.app import Notification
from services.runtime.kafka.appender import Appender
from services.runtime.kafka.reader import Heard, PublicReader
from services.runtime.process.service import system_clock
from tests.support.builders import an
from tests.support.deciders.logs import others
from tests.support.plans import SHORT
from tests.support.receiver import SECRET, Receiver
from tests.support.stack import OwnKafka, eventually, settings_on


@asynccontextmanager
async def receiving(*receivers: Receiver) -> AsyncIterator[None]:
    for receiver in receivers:
        await receiver.start()
    try:
        yield
    finally:
        for receiver in receivers:
            await receiver.stop()


def with_subscribers(settings: Settings, folder: Path, **types: tuple[Receiver, list[str]]) -> Settings:
    path = folder / "subscribers.yaml"
    entries = [
        f"  - {{name: {name}, url: '{receiver.url}', types: {patterns}, secret: {SECRET}}}"
        for name, (receiver, patterns) in types.items()
    ]
    path.write_text("\n".join(["subscribers:", *entries]))
    return settings.model_copy(update={"subscribers": path})


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Notification]:
    service = Notification(settings, system_clock, lambda: 0.0)
    await service.start()
    try:
        yield service
    finally:
        await service.stop()


@asynccontextmanager
async def deliveries(settings: Settings) -> AsyncIterator[list[Event]]:
    found: list[Event] = []

    def keep(heard: Heard) -> None:
        found.append(heard.event)

    reader = PublicReader(settings, ["deliveries"], keep)
    await reader.start()
    try:
        yield found
    finally:
        await reader.stop()


@contextmanager
def pauses(*seconds: float) -> Iterator[None]:
    """Retry after these pauses."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schedule, "PAUSES", seconds)
        yield


def rollback(number: int) -> RollbackStarted:
    return an(RollbackStarted, id=f"rollback-{number}")


def stage(number: int) -> StageEntered:
    return an(StageEntered, id=f"stage-{number}")


async def test_a_subscriber_hears_what_it_asked_for_signed_once_and_it_is_on_record(
    stack_settings: Settings, tmp_path: Path
) -> None:
    chat = Receiver()
    async with others(stack_settings) as world, receiving(chat), deliveries(stack_settings) as said:
        settings = with_subscribers(stack_settings, tmp_path, chat=(chat, ["rollback.*"]))
        async with running(settings) as service:
            assert service.alive()
            await world.say("rollouts", rollback(1), stage(1), rollback(1), rollback(2))
            await eventually(lambda: len(said) == 2, "both deliveries are on record")
            await eventually(service.ready, "it has newer up")
    assert sorted(chat.ids) == ["rollback-1", "rollback-2"]
    document = chat.heard[0].document
    assert document["specversion"] == "1.0"
    assert "rollback.started" in document["type"]
    assert from_cdevent(document["data"]) in (rollback(1), rollback(2))
    assert chat.heard[0].headers["content-type"] == "application/cloudevents+json"
    assert {type(record) for record in said} == {DeliverySucceeded}
    assert {record.cause for record in said} == {"rollback-1", "rollback-2"}


async def test_a_failure_is_retried_under_the_same_id_until_heard(stack_settings: Settings, tmp_path: Path) -> None:
    chat = Receiver(then=[503, 302])
    with pauses(0.2, 0.2):
        async with others(stack_settings) as world, receiving(chat), deliveries(stack_settings) as said:
            settings = with_subscribers(stack_settings, tmp_path, chat=(chat, ["*"]))
            async with running(settings):
                await world.say("rollouts", rollback(1))
                await eventually(lambda: len(said) == 3, "three attempts are on record")
    assert chat.ids == ["rollback-1"] * 3
    assert len({message.body for message in chat.heard}) == 1
    assert [(record.type, getattr(record, "status", None)) for record in said] == [
        ("delivery.failed", 503),
        ("delivery.failed", 302),
        ("delivery.succeeded", 204),
    ]


async def test_a_pending_retry_survives_a_restart(stack_settings: Settings, tmp_path: Path) -> None:
    chat = Receiver(then=[500])
    with pauses(3.0, 3.0):
        async with others(stack_settings) as world, receiving(chat), deliveries(stack_settings) as said:
            settings = with_subscribers(stack_settings, tmp_path, chat=(chat, ["*"]))
            async with running(settings):
                await world.say("rollouts", rollback(1))
                await eventually(lambda: len(said) == 1, "the failure is on record")
            async with running(settings):
                await eventually(lambda: len(said) == 2, "the retry is on record")
    assert chat.ids == ["rollback-1", "rollback-1"]
    assert isinstance(said[1], DeliverySucceeded)
    assert said[1].attempt == 2


async def test_what_was_said_while_it_was_away_is_told_after_the_restart_and_nothing_twice(
    stack_settings: Settings, tmp_path: Path
) -> None:
    chat = Receiver()
    async with others(stack_settings) as world, receiving(chat), deliveries(stack_settings) as said:
        settings = with_subscribers(stack_settings, tmp_path, chat=(chat, ["*"]))
        await world.say("rollouts", rollback(0))
        async with running(settings):
            await world.say("rollouts", rollback(1))
            await eventually(lambda: len(said) == 1, "the first is told")
        await world.say("rollouts", rollback(2))
        async with running(settings):
            await world.say("rollouts", rollback(3))
            await eventually(lambda: len(said) == 3, "all are told")
    assert sorted(chat.ids) == ["rollback-1", "rollback-2", "rollback-3"]


async def test_an_attempt_that_a_crash_cut_short_is_made_again(stack_settings: Settings, tmp_path: Path) -> None:
    chat = Receiver()
    async with others(stack_settings) as world, receiving(chat), deliveries(stack_settings) as said:
        settings = with_subscribers(stack_settings, tmp_path, chat=(chat, ["*"]))
        chat.be_silent()
        async with running(settings):
            await world.say("rollouts", rollback(1))
            await eventually(lambda: len(chat.heard) == 1, "the first attempt is under way")
        assert said == []
        chat.be_silent(False)
        async with running(settings):
            await eventually(lambda: len(said) == 1, "it is told")
    assert chat.ids == ["rollback-1", "rollback-1"]


async def test_a_dead_and_a_hanging_subscriber_delay_nobody_else(
    stack_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliver, "POST_SECONDS", 60.0)
    chat, hanging, dead = Receiver(), Receiver(), Receiver()
    async with others(stack_settings) as world, receiving(chat, hanging):
        hanging.be_silent()
        async with receiving(dead):
            settings = with_subscribers(
                stack_settings, tmp_path, dead=(dead, ["*"]), hanging=(hanging, ["*"]), chat=(chat, ["*"])
            )
        async with running(settings):
            await world.say("rollouts", *(rollback(number) for number in range(30)))
            await eventually(lambda: len(chat.heard) == 30, "the good subscriber has heard everything")
    assert len(hanging.heard) < 30


async def test_410_disables_a_subscriber_across_a_restart_and_says_so_for_every_event(
    stack_settings: Settings, tmp_path: Path
) -> None:
    chat = Receiver(status=410)
    async with others(stack_settings) as world, receiving(chat), deliveries(stack_settings) as said:
        settings = with_subscribers(stack_settings, tmp_path, chat=(chat, ["*"]))
        async with running(settings):
            await world.say("rollouts", rollback(1))
            await eventually(lambda: len(said) == 1, "the refusal is on record")
        async with running(settings):
            await world.say("rollouts", rollback(2))
            await eventually(lambda: len(said) == 2, "the event that was not told is on record")
    assert chat.ids == ["rollback-1"]
    for record in said:
        assert isinstance(record, DeliveryFailed)
        assert record.next_in_seconds is None
    assert "disabled" in said[1].reason  # type: ignore[attr-defined]


async def test_a_plan_announced_before_the_restart_still_says_whom_to_tell(
    stack_settings: Settings, tmp_path: Path
) -> None:
    plan = SHORT + "communication:\n  - {events: ['rollback.*'], to: pager}\n  - {events: ['stage.*'], to: nobody}\n"
    announced = an(RolloutAnnounced, plan_text=plan)
    pager = Receiver()
    async with others(stack_settings) as world, receiving(pager), deliveries(stack_settings) as said:
        settings = with_subscribers(stack_settings, tmp_path, pager=(pager, []))
        async with running(settings):
            await world.say("rollouts", announced)
        async with running(settings):
            escalated = an(RollbackEscalated, rollout=announced.rollout, to=[])
            await world.say("rollback-progress", escalated)
            await world.say("rollouts", an(StageEntered, rollout=announced.rollout))
            await eventually(lambda: len(said) == 2, "both are on record")
    assert pager.ids == [escalated.id]
    [missing] = [record for record in said if isinstance(record, DeliveryFailed)]
    assert missing.subscriber == "nobody"
    assert missing.next_in_seconds is None


async def test_a_record_that_cannot_be_read_is_passed_over(stack_settings: Settings, tmp_path: Path) -> None:
    chat = Receiver()
    async with others(stack_settings) as world, receiving(chat):
        settings = with_subscribers(stack_settings, tmp_path, chat=(chat, ["*"]))
        appender = Appender(stack_settings)
        await appender.start()
        async with running(settings) as service:
            for partition in range(12):
                await (await appender.append("rollouts", partition, b"x", b"\xff no json", [("ce_id", b"\xfe")]))
            await world.say("rollouts", rollback(1))
            await eventually(lambda: chat.ids == ["rollback-1"], "the good event is told")
            assert service.alive()
        await appender.stop()


async def test_no_secret_and_no_address_is_said_or_logged(
    stack_settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chat = Receiver(status=500)
    async with others(stack_settings) as world, receiving(chat), deliveries(stack_settings) as said:
        settings = with_subscribers(stack_settings, tmp_path, chat=(chat, ["*"]))
        async with running(settings):
            await world.say("rollouts", rollback(1))
            await eventually(lambda: len(said) == 1, "the failure is on record")
    shown = caplog.text + said[0].model_dump_json()
    assert "HTTP 500" in shown
    assert SECRET not in shown
    assert "/hook" not in shown


async def test_a_broker_that_is_killed_and_comes_back_costs_no_delivery(own_kafka: OwnKafka, tmp_path: Path) -> None:
    broker, chat = own_kafka(), Receiver()
    base = settings_on(broker, None, "killed.", tmp_path)
    async with receiving(chat):
        settings = with_subscribers(base, tmp_path, chat=(chat, ["*"]))
        async with running(settings) as service:
            async with others(settings) as world:
                await world.say("rollouts", rollback(1))
                await eventually(lambda: chat.ids == ["rollback-1"], "the first is told")
            broker.kill()
            broker.start()
            async with others(settings) as world:
                await world.say("rollouts", rollback(2))
                await eventually(lambda: chat.ids == ["rollback-1", "rollback-2"], "the second is told", 60)
            assert service.alive()
