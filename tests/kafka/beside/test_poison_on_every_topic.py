"""All services, an unreadable record on each topic, kill -9, restart: one letter each, and everything else goes on."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import Process
from collections import defaultdict

from penstock.events import HoldRequested, RolloutHeld
from penstock.partitioner import partition_of
from penstock.settings import Settings, variable_of
from services.console.read_models.dead_letters import DeadLetters
from services.runtime.kafka.appender import Appender
from tests.support.builders import an
from tests.support.deciders.logs import dead_letters
from tests.support.deciders.on_kafka import world
from tests.support.deciders.slice import deploy
from tests.support.plans import TARGET
from tests.support.stack import eventually

POISONED = ("commands", "deploy-intake", "deploys", "rollouts", "metric-frames")


async def start(settings: Settings) -> Process:
    given = settings.model_dump(mode="json", exclude_defaults=True)
    variables = {variable_of(name): str(value) for name, value in given.items() if value is not None}
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
    return await asyncio.create_subprocess_exec(sys.executable, "-m", "services", env={**clean, **variables})


async def visible(settings: Settings) -> dict[str, list[str]]:
    """Return the services of the letters that the console shows, by topic."""
    shown, found = DeadLetters(), defaultdict[str, list[str]](list)
    for letter in await dead_letters(settings, len(POISONED)):
        shown.receive(letter)
    for one in shown.newest(1000):
        assert one["reason"] not in ("", "-")
        found[one["topic"].removeprefix(settings.topic_prefix)].append(one["service"])
    return found


async def test_each_poisoned_topic_has_its_letters_once_after_a_kill_and_the_rollout_beside_goes_on(
    stack_settings: Settings,
) -> None:
    async with world(stack_settings) as (publish, heard):
        first = await start(stack_settings)
        try:
            await publish("deploys", deploy())
            await eventually(lambda: len(heard) >= 3, "the deploy is decided", patience=60)
            appender = Appender(stack_settings)
            await appender.start()
            for topic in POISONED:
                value = b'{"x":' * 5000
                await appender.append_and_wait(
                    topic, partition_of(TARGET) if topic != "deploy-intake" else 0, b"x", value
                )
            await appender.stop()
            await asyncio.sleep(3)
        finally:
            first.send_signal(signal.SIGKILL)
            await first.wait()
        second = await start(stack_settings)
        try:
            await publish("commands", an(HoldRequested, id="hold-1", target=TARGET))
            await eventually(
                lambda: any(isinstance(one.event, RolloutHeld) for one in heard), "the hold is decided", patience=60
            )
            await asyncio.sleep(3)
            assert second.returncode is None, "nothing ends a second time"
            letters = await visible(stack_settings)
        finally:
            second.send_signal(signal.SIGKILL)
            await second.wait()
    assert set(letters) == set(POISONED)
    for topic, services in letters.items():
        assert len(services) == len(set(services)), f"{topic}: {services}"
