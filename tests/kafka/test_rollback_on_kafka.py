"""Rollback execution on a real broker: from the decision to the end, through a crash, and with two copies at once."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from penstock.events import Event, RollbackExecuted, StepStarted, StepTakenOver
from penstock.settings import Settings
from services.rollback_execution import draft, posting
from services.rollback_execution.app import RollbackExecution, build
from services.runtime.kafka.reader import Heard, PublicReader
from services.runtime.process.service import system_clock
from tests.support.deciders.logs import Others, others
from tests.support.deciders.rollbacks import HOOK, announced, closed, served, started, zeroed
from tests.support.metrics.windows import moment
from tests.support.plans import SHORT
from tests.support.receiver import SECRET, Receiver
from tests.support.stack import eventually


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    await receiver.start()
    yield receiver
    await receiver.stop()


@pytest.fixture
def settings(stack_settings: Settings, receiver: Receiver, tmp_path: Path) -> Settings:
    path = tmp_path / "subscribers.yaml"
    host = receiver.url.split("/")[2]
    path.write_text(f"subscribers: [{{name: ci, secret: {SECRET}, steps: {{hosts: '{host}', targets: '*'}}}}]")
    return stack_settings.model_copy(update={"subscribers": path, "instance": "rollback-0"})


def plan_with(receiver: Receiver) -> str:
    hook = HOOK.replace("https://ci.example/redeploy", receiver.url)
    return SHORT.replace("rollback:\n", "rollback:\n" + hook)


E = TypeVar("E", bound=Event)

AHEAD = moment(1) - system_clock()


def lately(event: E) -> E:
    """Return the event moved from where the histories play to the present, for timers go by the machine's clock."""
    moments = {name: getattr(event, name) - AHEAD for name in ("time", "start", "end") if hasattr(event, name)}
    return event.model_copy(update=moments)


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[RollbackExecution]:
    service = build(settings, system_clock)
    assert isinstance(service, RollbackExecution)
    await service.start()
    try:
        yield service
    finally:
        await service.stop()


@asynccontextmanager
async def hearing(settings: Settings) -> AsyncIterator[list[Heard]]:
    heard: list[Heard] = []
    reader = PublicReader(settings, ["rollback-progress"], heard.append)
    await reader.start()
    try:
        yield heard
    finally:
        await reader.stop()


def types(heard: list[Heard]) -> list[str]:
    """Types in order, each fact once: copies repeat each other's on the public topic."""
    return [event.type for event in {one.event.id: one.event for one in heard}.values()]


async def history(world: Others, plan: str) -> None:
    await world.decide("window-log", *(lately(closed(number - 60.0)) for number in range(12)))
    await world.decide("rollout-log", lately(announced(plan)))
    await world.decide("flag-log", lately(zeroed(-20, "stage-entered-1", 3)))
    await world.say("flag-served", lately(served(version=3, second=-19)))


async def take_back(world: Others) -> None:
    await world.decide("rollout-log", lately(started()))
    await world.decide("flag-log", lately(zeroed()))
    await world.say("flag-served", lately(served(elapsed_ms=11.0)))


async def recover(world: Others) -> None:
    await world.decide("window-log", lately(closed(2)), lately(closed(3)))


async def test_a_release_is_taken_back_the_hook_is_called_once_and_recovery_is_seen(
    settings: Settings, receiver: Receiver
) -> None:
    async with others(settings) as world, running(settings), hearing(settings) as heard:
        await history(world, plan_with(receiver))
        await take_back(world)
        await eventually(lambda: types(heard).count("step.completed") == 2, "both steps are done")
        await recover(world)
        await eventually(lambda: "rollback.executed" in types(heard), "the rollback is executed")
    assert sorted(types(heard)) == sorted(
        ["step.started", "step.completed"] * 2 + ["exposure.contained", "recovery.verified", "rollback.executed"]
    )
    executed = heard[-1].event
    assert isinstance(executed, RollbackExecuted)
    assert executed.recovered
    # Topics have no order between them: the report of the clients may be heard before or after the flag log.
    assert executed.contained_seconds in {0.0, 0.011}
    [message] = receiver.heard
    assert message.document["type"] == "rollback.step"
    assert message.document["data"]["version"] == "2"
    assert {one.event.executor for one in heard if isinstance(one.event, StepStarted)} == {"rollback-0"}


async def test_a_crash_while_the_hook_is_called_calls_it_again_under_the_same_id(
    settings: Settings, receiver: Receiver
) -> None:
    receiver.be_silent()
    async with others(settings) as world, hearing(settings) as heard:
        async with running(settings):
            await history(world, plan_with(receiver))
            await take_back(world)
            await eventually(lambda: len(receiver.heard) == 1, "the hook is called")
        receiver.be_silent(False)
        async with running(settings):
            await eventually(lambda: types(heard).count("step.completed") == 2, "both steps are done")
            await recover(world)
            await eventually(lambda: "rollback.executed" in types(heard), "the rollback is executed")
    assert len(receiver.heard) == 2
    assert len(set(receiver.ids)) == 1
    assert len({message.body for message in receiver.heard}) == 1


async def test_a_hook_that_refuses_first_is_called_again_under_the_same_id(
    settings: Settings, receiver: Receiver
) -> None:
    receiver.then = [503, 500]
    async with others(settings) as world, running(settings), hearing(settings) as heard:
        await history(world, plan_with(receiver))
        await take_back(world)
        await eventually(lambda: types(heard).count("step.completed") == 2, "both steps are done")
    assert types(heard).count("step.failed") == 2
    assert len(receiver.heard) == 3
    assert len(set(receiver.ids)) == 1


async def test_of_two_copies_one_calls_the_hook_and_the_other_takes_over_when_it_dies(
    settings: Settings, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draft, "LEASE", 2.0)
    monkeypatch.setattr(posting, "POST_SECONDS", 60.0)
    receiver.be_silent()
    async with others(settings) as world, hearing(settings) as heard, AsyncExitStack() as stack:
        copies: dict[str, AsyncExitStack] = {}
        for name in ("rollback-0", "rollback-1"):
            copies[name] = await stack.enter_async_context(AsyncExitStack())
            await copies[name].enter_async_context(running(settings.model_copy(update={"instance": name})))
        await history(world, plan_with(receiver))
        await take_back(world)
        await eventually(lambda: types(heard).count("step.started") == 2, "the hook's step is started")
        await eventually(lambda: len(receiver.heard) == 1, "the hook is called")
        [first] = {one.event.executor for one in heard if isinstance(one.event, StepStarted) and one.event.index == 1}
        [other] = set(copies) - {first}
        await copies[first].aclose()
        receiver.be_silent(False)
        await eventually(lambda: types(heard).count("step.completed") == 2, "the other copy has done it")
    taken = {(one.event.executor, one.event.former) for one in heard if isinstance(one.event, StepTakenOver)}
    assert taken == {(other, first)}
    assert len(receiver.heard) == 2
    assert len(set(receiver.ids)) == 1
