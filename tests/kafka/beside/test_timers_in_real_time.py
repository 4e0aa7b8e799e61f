"""Each timer of the deciders fires by the real clock on a real broker, and does what docs/architecture.md says.

`retry` and `lease` fire in test_rollback_on_kafka: a hook that refuses first, and a copy that dies.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from penstock.events import (
    Event,
    FlagStale,
    FlagSubmitted,
    GateVerdict,
    NoDataReason,
    RollbackEscalated,
    RollbackExecuted,
    RolloutHeld,
    StageEntered,
    StageJudged,
    StepFailed,
    Why,
    Word,
)
from penstock.events.rollouts import RolloutEvent
from penstock.settings import Settings
from services.rollback_execution.app import build as rollback_execution
from services.runtime.kafka.reader import Heard, PublicReader
from services.runtime.process.service import system_clock
from tests.support.deciders.logs import Others, others
from tests.support.deciders.on_kafka import control, world
from tests.support.deciders.rollbacks import announced, closed, served, started, zeroed
from tests.support.deciders.slice import deploy
from tests.support.flags.world import flag_control, with_tokens
from tests.support.flags.world import world as flag_world
from tests.support.plans import SHORT, TARGET
from tests.support.stack import eventually

UNMEASURED = GateVerdict(gate="errors", kind="ratio", word=Word.NO_DATA, no_data=NoDataReason.TELEMETRY_OUTAGE)
MEASURED = GateVerdict(gate="errors", kind="ratio", word=Word.INCONCLUSIVE)
A_DAY = timedelta(days=1)


def plan(action: str) -> str:
    return SHORT.replace("after: 1h, action: hold", f"after: 4s, action: {action}")


def verdict(number: int, heard: list[Heard], gate: GateVerdict) -> StageJudged:
    """Return a verdict on the stage that was entered last, stamped a day behind."""
    [*_, entered] = [one.event for one in heard if isinstance(one.event, StageEntered)]
    then = system_clock() - A_DAY
    return StageJudged(
        id=f"v{number}",
        source="/j",
        target=TARGET,
        time=then,
        rollout=entered.rollout,
        stage=entered.stage,
        entry=entered.id,
        window=f"w{number}",
        window_end=then,
        judged=1,
        word=gate.word,
        gates=(gate,),
        judge="1",
        plan_hash="0",
    )


def of(heard: list[Heard], event_type: str) -> RolloutEvent | None:
    found = [one.event for one in heard if one.event.type == event_type]
    return found[0] if found and isinstance(found[0], RolloutEvent) else None


def seconds_between(heard: list[Heard], first: str, then: str) -> float:
    one, other = of(heard, first), of(heard, then)
    assert one is not None
    assert other is not None
    return (other.time - one.time).total_seconds()


async def test_dead_man_rolls_back_though_verdicts_without_data_keep_coming(stack_settings: Settings) -> None:
    async with others(stack_settings) as deciders, world(stack_settings) as (publish, heard), control(stack_settings):
        await publish("deploys", deploy(plan("rollback")).model_copy(update={"time": system_clock() + A_DAY}))
        await eventually(lambda: of(heard, "stage.entered") is not None, "the stage is entered")
        for number in range(40):
            if of(heard, "rollback.started") is not None:
                break
            await deciders.decide("verdict-log", verdict(number, heard, UNMEASURED))
            await asyncio.sleep(0.25)
    back = of(heard, "rollback.started")
    assert back is not None
    assert back.ground.why is Why.TELEMETRY_SILENT
    assert seconds_between(heard, "stage.entered", "rollback.started") == 4.0


async def test_dead_man_holds_once_verdicts_with_data_have_ended(stack_settings: Settings) -> None:
    async with others(stack_settings) as deciders, world(stack_settings) as (publish, heard), control(stack_settings):
        await publish("deploys", deploy(plan("hold")))
        await eventually(lambda: of(heard, "stage.entered") is not None, "the stage is entered")
        for number in range(24):
            await deciders.decide("verdict-log", verdict(number, heard, MEASURED))
            await asyncio.sleep(0.25)
        assert of(heard, "rollout.held") is None
        last = system_clock()
        await eventually(lambda: of(heard, "rollout.held") is not None, "the rollout is held")
    held = of(heard, "rollout.held")
    assert isinstance(held, RolloutHeld)
    assert held.ground.why is Why.TELEMETRY_SILENT
    assert timedelta(seconds=2.5) < held.time - last < timedelta(seconds=5)


@asynccontextmanager
async def rolling_back(settings: Settings, text: str) -> AsyncIterator[tuple[Others, list[Heard]]]:
    """Give a rollback that has just started, and what is published of it."""
    heard: list[Heard] = []
    reader = PublicReader(settings, ["rollback-progress"], heard.append)
    service = rollback_execution(settings, system_clock)
    async with others(settings) as deciders:
        await service.start()
        await reader.start()
        try:
            await deciders.decide("window-log", *(now(closed(number - 60.0)) for number in range(12)))
            await deciders.decide("rollout-log", announced(text), now(started()))
            yield deciders, heard
        finally:
            await reader.stop()
            await service.stop()


def now(event: Event) -> Event:
    """Return the event as if it happened now."""
    return event.model_copy(update={"time": system_clock()})


def escalated(heard: list[Heard], what: str) -> bool:
    return any(isinstance(one.event, RollbackEscalated) and one.event.what == what for one in heard)


async def test_containment_calls_a_person_when_no_client_has_been_served_in_time(stack_settings: Settings) -> None:
    text = SHORT.replace("containment: 5s", "containment: 2s")
    async with rolling_back(stack_settings, text) as (_, heard):
        await eventually(lambda: escalated(heard, "containment"), "a person is called for containment")
        assert not any(one.event.type == "exposure.contained" for one in heard)


async def test_step_is_given_up_at_its_deadline(stack_settings: Settings) -> None:
    steps = "rollback:\n  steps: [{kind: flag, name: flag, deadline: 2s}]\n"
    async with rolling_back(stack_settings, SHORT.replace("rollback:\n", steps)) as (_, heard):
        await eventually(lambda: escalated(heard, "step"), "a person is called for the step")
        [failed] = [one.event for one in heard if isinstance(one.event, StepFailed)]
        assert failed.final
        assert failed.reason == "not done within 2 s"


async def test_recovery_calls_a_person_at_its_deadline_and_ends_the_rollback(stack_settings: Settings) -> None:
    text = SHORT.replace("windows: 2, deadline: 60s", "windows: 2, deadline: 2s")
    async with rolling_back(stack_settings, text) as (deciders, heard):
        await deciders.decide("flag-log", now(zeroed()))
        await deciders.say("flag-served", now(served()))
        await eventually(lambda: any(isinstance(one.event, RollbackExecuted) for one in heard), "it is executed")
        [executed] = [one.event for one in heard if isinstance(one.event, RollbackExecuted)]
        assert not executed.recovered
        assert escalated(heard, "recovery")


@pytest.fixture
def flag_settings(stack_settings: Settings, tmp_path: Path) -> Settings:
    return with_tokens(stack_settings, tmp_path)


async def test_stale_is_published_when_the_flag_expires(flag_settings: Settings) -> None:
    expires = system_clock() + timedelta(seconds=4)
    lifecycle = {"owner": "team-shop", "expires": expires.isoformat()}
    submitted = FlagSubmitted(
        id="f1",
        source="/penstock/console",
        target=TARGET,
        time=system_clock(),
        actor="ann",
        roles=("admin",),
        reason="try",
        definition={"variants": {"on": True, "off": False}, "lifecycle": lifecycle},
    )
    async with flag_world(flag_settings) as around, flag_control(flag_settings):
        await around.publish("commands", submitted)
        await eventually(lambda: bool(around.said("flag.stale")), "the flag is reported stale")
        stale = around.said("flag.stale")[0]
    assert isinstance(stale, FlagStale)
    assert (stale.rule, stale.time) == ("expired", expires)
