"""With recorded windows, kill -9 of any service or of the broker, and a copy that sleeps through it, change nothing.

What is compared is the public topic `rollouts`, each event once: the same ids in the same order for every rollout.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from signal import SIGCONT, SIGSTOP

import pytest

from penstock.local.kafka.broker import LocalKafka
from penstock.local.processes import Watchdog
from penstock.settings import Settings
from tests.support.deciders.faults import BAD, BLIND, DECIDERS, GOOD, Decisions, Processes, play
from tests.support.deciders.logs import Others, others
from tests.support.stack import OwnKafka, delete_topics, settings_on

pytestmark = pytest.mark.timeout(240)
PACE = 0.15


@asynccontextmanager
async def playing(settings: Settings, folder: Path, watchdog: Watchdog) -> AsyncIterator[tuple[Processes, Others]]:
    """Give processes and the hand that writes what the other services would."""
    processes = Processes(settings, folder, watchdog)
    async with others(settings) as hand:
        try:
            yield processes, hand
        finally:
            processes.close()
            shutil.rmtree(settings.state, ignore_errors=True)


async def nothing(_: int) -> None:
    """Leave everything alone."""


@pytest.fixture(scope="module")
def undisturbed(kafka: LocalKafka, watchdog: Watchdog, tmp_path_factory: pytest.TempPathFactory) -> Decisions:
    """What is decided when nobody interferes."""
    folder = tmp_path_factory.mktemp("undisturbed")
    settings = settings_on(kafka, None, f"{folder.name}.", folder)

    async def run() -> Decisions:
        async with playing(settings, folder, watchdog) as (processes, hand):
            processes.start(*DECIDERS)
            decided = await play(settings, hand, nothing, 0.02)
        await delete_topics(kafka.bootstrap, settings.topic_prefix)
        return decided

    return asyncio.run(run())


def test_the_recorded_histories_promote_the_good_release_and_take_the_bad_one_back(undisturbed: Decisions) -> None:
    kinds = {target: [kind for kind, _ in decided] for target, decided in undisturbed.items()}
    assert kinds[GOOD.target][-1] == "rollout.completed"
    assert kinds[GOOD.target].count("stage.passed") == 2
    assert kinds[BAD.target][-3:] == ["rollback.started", "version.quarantined", "rollback.completed"]
    assert {"rollout.held", "rollout.resumed"} <= set(kinds[BLIND.target])


async def test_kill_9_of_each_service_mid_flow_changes_no_decision(
    undisturbed: Decisions, stack_settings: Settings, watchdog: Watchdog, tmp_path: Path
) -> None:
    victims = {10: "gate_evaluation", 15: "rollout_control", 20: "flag_control", 22: "rollback_execution"}
    async with playing(stack_settings, tmp_path, watchdog) as (processes, hand):
        for name in DECIDERS:
            processes.start(name)

        async def kill(number: int) -> None:
            if number in victims:
                processes.kill(victims[number])
                processes.start(victims[number])

        assert await play(stack_settings, hand, kill, PACE) == undisturbed


async def test_two_copies_of_everything_one_of_which_stops_and_wakes_again_and_again_change_no_decision(
    undisturbed: Decisions, stack_settings: Settings, watchdog: Watchdog, tmp_path: Path
) -> None:
    group = "+".join(DECIDERS)
    async with playing(stack_settings, tmp_path, watchdog) as (processes, hand):
        processes.start(*DECIDERS)
        processes.start(*DECIDERS, copy="2")

        async def stop_and_wake(number: int) -> None:
            # Woken with requests in flight and a state of long ago, while the other has gone on.
            processes.signal(group, SIGSTOP if number % 6 < 3 else SIGCONT)

        assert await play(stack_settings, hand, stop_and_wake, PACE) == undisturbed


async def test_kill_9_of_the_broker_mid_flow_changes_no_decision(
    undisturbed: Decisions, own_kafka: OwnKafka, watchdog: Watchdog, tmp_path: Path
) -> None:
    broker = own_kafka()
    settings = settings_on(broker, None, "", tmp_path)
    async with playing(settings, tmp_path, watchdog) as (processes, hand):
        processes.start(*DECIDERS)

        async def kill(number: int) -> None:
            if number == 21:
                broker.kill()
                broker.start()

        assert await play(settings, hand, kill, PACE) == undisturbed
