"""The decider's shell on a real broker: restarts, snapshots, two copies at once, and input that cannot be read."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiokafka import ConsumerRecord, TopicPartition

from penstock.events import Event, HoldRequested, Request, ResumeRequested
from penstock.events.cloudevents import to_kafka
from penstock.partitioner import partition_of
from penstock.settings import Settings
from penstock.topics import PARTITIONS
from services.rollout_control.app import build
from services.runtime.appender import Appender
from services.runtime.decider import DeciderShell
from services.runtime.kafka import ensure_topics, named, read_span
from services.runtime.reader import Heard, PublicReader
from services.runtime.republisher import Republisher
from services.runtime.service import system_clock
from services.runtime.snapshots import newest_generations
from tests.support.plans import TARGET
from tests.support.slice import deploy
from tests.support.stack import eventually
from tests.support.windows import moment

HERE = partition_of(TARGET)


@asynccontextmanager
async def control(settings: Settings) -> AsyncIterator[DeciderShell]:
    shell = build(settings, system_clock)
    assert isinstance(shell, DeciderShell)
    await shell.start()
    try:
        yield shell
    finally:
        await shell.stop()


@asynccontextmanager
async def world(settings: Settings) -> AsyncIterator[tuple[Callable[..., object], list[Heard]]]:
    await ensure_topics(settings)
    appender, heard = Appender(settings), []
    await appender.start()
    reader = PublicReader(settings, ["rollouts"], heard.append)
    await reader.start()

    async def publish(topic: str, event: Event) -> None:
        key, value, headers = to_kafka(event)
        await (await appender.append(topic, HERE, key, value, headers))

    try:
        yield publish, heard
    finally:
        await reader.stop()
        await appender.stop()


def command(number: int) -> Request:
    kind = ResumeRequested if number % 2 else HoldRequested
    return kind(
        id=f"command-{number}", source="/console", target=TARGET, time=moment(number), actor="bob", reason="because"
    )


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
        letters: list[ConsumerRecord] = []
        name = named(stack_settings, "dead-letters")
        for _ in range(40):
            letters.clear()
            await read_span(stack_settings, {TopicPartition(name, p): 0 for p in range(PARTITIONS)}, letters.append)
            if letters:
                break
            await asyncio.sleep(0.1)
        await appender.stop()
    (letter,) = letters
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


def _first(heard: list[Heard]) -> list[Heard]:
    seen: set[str] = set()
    return [one for one in heard if not (one.event.id in seen or seen.add(one.event.id))]  # type: ignore[func-returns-value]


def _logs() -> tuple[object, ...]:
    from penstock.topics import LOGS

    return LOGS
