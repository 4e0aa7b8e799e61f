"""Recorded histories played to services in processes of their own, which a test may kill, stop and start again."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from penstock.chain.record import decode
from penstock.events import DeployAnnounced, Release, WindowClosed
from penstock.local.processes import Child, Watchdog, stop_all
from penstock.local.state import tree_root
from penstock.partitioner import partition_of
from penstock.settings import Settings, variable_of
from services.runtime.kafka.connection import connection, named
from services.runtime.kafka.reader import Heard, PublicReader
from tests.support.deciders.logs import Others
from tests.support.metrics.windows import moment, window
from tests.support.plans import SHORT
from tests.support.stack import eventually

DECIDERS = ("gate_evaluation", "rollout_control", "flag_control", "rollback_execution")
QUIET = 6
"""Windows before the release: what the service measures without it."""
TURN = 20
"""Window from which the bad release is slow."""
WINDOWS = 44
PATIENCE = 90.0

Disturb = Callable[[int], Awaitable[None]]
Decisions = dict[str, list[tuple[str, str]]]
"""(type, id) of a target's events on `rollouts`, each once, in order."""


@dataclass(frozen=True)
class History:
    """One target's recorded windows.

    Attributes:
        slow: share of the canary's requests that are slow from window TURN on.
        blind: windows in which the canary was not measured; end: type of the event that ends the rollout.
    """

    flag: str
    end: str
    slow: float = 0.0
    blind: range = range(0)

    @property
    def target(self) -> str:
        return f"staging/shop/{self.flag}"

    @property
    def plan(self) -> str:
        return SHORT.replace("name: banner", f"name: {self.flag}").replace("flag: banner", f"flag: {self.flag}")

    def deploy(self) -> DeployAnnounced:
        """The release that CI announces after the quiet windows."""
        return DeployAnnounced(
            id=f"deploy-{self.flag}",
            source="/ci",
            target=self.target,
            time=moment(QUIET),
            release=Release(service="shop", version="2", author="alice"),
            plan_text=self.plan,
            actor="ci",
            grants=("announce", "plan"),
        )

    def window(self, number: int) -> WindowClosed:
        """The window of that number; after WINDOWS a release that is taken back gets no requests any more."""
        gone = self.slow and number >= WINDOWS
        measured = number >= QUIET and number not in self.blind and not gone
        slow = self.slow if number >= TURN else 0.0
        return window(self.target, number, moment(), canary=60 if measured else 0, canary_slow=slow)


GOOD = History("good", "rollout.completed")
BAD = History("bad", "rollback.completed", slow=0.15)
BLIND = History("blind", "rollout.completed", blind=range(12, 24))
HISTORIES = (GOOD, BAD, BLIND)


@dataclass
class Processes:
    """Services, one process each, on the given settings."""

    settings: Settings
    folder: Path
    watchdog: Watchdog
    children: dict[str, Child] = field(default_factory=dict)

    def start(self, *names: str, copy: str = "") -> None:
        """Start the named services, in one process if several are named; `copy` tells a second copy from the first."""
        name = "+".join(names) + copy
        child = Child(name, (sys.executable, "-P", "-m", "services", *names), self.folder / "log", self.watchdog)
        child.start(self._environment(copy))
        self.children[name] = child

    def kill(self, name: str) -> None:
        """kill -9."""
        self.children.pop(name).kill()

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a service."""
        self.children[name].signal(number)

    def close(self) -> None:
        """End them all."""
        for child in self.children.values():
            child.signal(signal.SIGCONT)
        stop_all(self.children.values(), 3.0)

    def _environment(self, copy: str) -> Mapping[str, str]:
        given = self.settings.model_dump(mode="json", exclude_defaults=True) | {"instance": f"copy{copy}"}
        ours = {variable_of(name): str(value) for name, value in given.items() if value is not None}
        others = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
        return {**others, **ours, "PYTHONPATH": str(tree_root())}


async def play(settings: Settings, others: Others, disturb: Disturb, pace: float) -> Decisions:
    """Announce the releases, close the recorded windows one by one; return what was decided in the end.

    Args:
        disturb: called before each window with its number.
        pace: seconds between windows.
    """
    decided: Decisions = {history.target: [] for history in HISTORIES}

    def hear(heard: Heard) -> None:
        entry = (heard.event.type, heard.event.id)
        if entry not in decided[heard.event.target]:
            decided[heard.event.target].append(entry)

    reader = PublicReader(settings, ("rollouts",), hear)
    await reader.start()
    try:
        await _begin(settings, others, decided)
        for number in range(QUIET, WINDOWS):
            await disturb(number)
            for history in HISTORIES:
                await others.decide("window-log", history.window(number))
            await asyncio.sleep(pace)
        await _end(others, decided)
    finally:
        await reader.stop()
    return decided


async def _begin(settings: Settings, others: Others, decided: Decisions) -> None:
    for number in range(QUIET):
        for history in HISTORIES:
            await others.decide("window-log", history.window(number))
    for history in HISTORIES:
        await others.say("deploys", history.deploy())
    await eventually(lambda: all(_has(decided, h, "stage.entered") for h in HISTORIES), "stages entered", PATIENCE)
    # Which of two logs is read first is nobody's promise: windows that are read before their stage is heard of
    # belong to none. A recorded history begins where the judge has heard of it.
    for history in HISTORIES:
        entry = next(name for kind, name in decided[history.target] if kind == "stage.entered")
        await _until_consumed(settings, "verdict-log", history.target, entry)


async def _end(others: Others, decided: Decisions) -> None:
    for number in range(WINDOWS, WINDOWS + 200):
        if all(_has(decided, history, history.end) for history in HISTORIES):
            return
        for history in HISTORIES:
            if not _has(decided, history, history.end):
                await others.decide("window-log", history.window(number))
        await asyncio.sleep(0.3)
    raise AssertionError(f"not decided in the end: { {name: said[-3:] for name, said in decided.items()} }")


def _has(decided: Decisions, history: History, kind: str) -> bool:
    return any(said == kind for said, _ in decided[history.target])


async def _until_consumed(settings: Settings, log: str, target: str, event: str) -> None:
    partition = TopicPartition(named(settings, log), partition_of(target))
    consumer = AIOKafkaConsumer(**connection(settings), auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        async with asyncio.timeout(PATIENCE):
            while not _consumes(await consumer.getone(), event):
                pass
    finally:
        await consumer.stop()


def _consumes(record: ConsumerRecord, event: str) -> bool:
    found = decode(record.value).record
    return found is not None and any(
        document["id"] == event for consumed in found.inputs for document in consumed.events
    )
