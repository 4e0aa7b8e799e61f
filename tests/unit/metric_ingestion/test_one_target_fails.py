"""Whatever one target's plan or frames raise in metric ingestion is a dead letter, and all other targets go on."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiokafka import ConsumerRecord

from penstock.chain import Fold, genesis
from penstock.chain.failures import FAULT
from penstock.errors import UnavailableError
from penstock.events import Event
from penstock.settings import Settings
from penstock.topics import log_of
from services.metric_ingestion.doors.frame_publisher import FramePublisher
from services.metric_ingestion.doors.otlp_kafka import Intake
from services.metric_ingestion.partitions import owner as owner_module
from services.metric_ingestion.partitions import partitions as partitions_module
from services.metric_ingestion.partitions.owner import Owner
from services.metric_ingestion.partitions.partitions import Partitions
from services.metric_ingestion.selection import registry as registry_module
from services.metric_ingestion.selection.match import Matcher
from services.metric_ingestion.selection.registry import Registry
from services.metric_ingestion.selection.watch import Watched
from services.runtime.kafka import dead_letters
from services.runtime.kafka.reader import Heard
from services.runtime.kafka.republisher import Republisher
from tests.support.deciders.in_memory import Memory, Topics
from tests.support.metrics.ingestion import plan_registered, watched
from tests.support.plans import SHORT, TARGET

BAD = f"{TARGET}-poison"
NOW = 1_800_000_000_000_000_000
LATER = NOW + 10**12


def plan_of(target: str) -> Watched:
    found = watched(SHORT)
    return Watched(target, found.plan, found.plan_hash, found.version, found.cause)


def failing_for(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the pure function of that name in the owner's module fail for the second target that it is called with."""
    real, states = getattr(owner_module, name), list[Any]()

    def fail(state: Any, *rest: Any) -> Any:
        if all(known is not state for known in states):
            states.append(state)
        if len(states) > 1 and state is states[1]:
            raise IndexError("planted")
        return real(state, *rest)

    monkeypatch.setattr(owner_module, name, fail)


def settled(owner: Owner, appends: list[Any]) -> set[str]:
    for append in appends:
        owner.acknowledge(append, owner.fold.next_offset)
    return {append.target for append in appends}


@pytest.mark.parametrize("name", ["document_for_plan", "overdue", "steps"])
def test_a_target_that_this_version_fails_on_closes_no_window_and_the_others_do(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_for(name, monkeypatch)
    owner = Owner(Fold(genesis("cluster", "window-log", 0)), "1")
    for target in (TARGET, BAD):
        settled(owner, owner.apply_plan(plan_of(target), NOW))
    for _ in range(2):
        assert owner.overdue(0, LATER) or name != "overdue" or BAD in owner.faults
        closed = settled(owner, owner.decide(0, LATER))
    assert set(owner.faults) == {BAD}
    assert BAD not in closed
    assert TARGET in owner.fold.documents
    assert owner.snapshot() is None, "what is in memory of the target is not to be kept"


async def test_a_failing_target_is_dead_lettered_once_and_ingestion_is_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_for("document_for_plan", monkeypatch)
    settings, topics = Settings(state=tmp_path, lateness=0.05), Topics()
    memory = Memory(settings, topics)
    republisher = Republisher(settings, memory, log_of("metric_ingestion"))
    partitions = Partitions(settings, "cluster", memory, republisher, lambda _: {}, lambda _: None, lambda: False)
    partitions._owners = {0: Owner(Fold(genesis("cluster", "window-log", 0)), "1")}
    monkeypatch.setattr(partitions, "_snapshot_is_due", lambda *_: False)
    for _ in range(3):
        partitions.tick(NOW, lambda _: [plan_of(TARGET), plan_of(BAD)])
        await asyncio.sleep(0.01)
    (letter,) = topics.letters()
    assert partitions.alive()
    assert letter["reason"].startswith(f"{BAD}: no window is closed until the service is restarted: {FAULT}IndexError")
    await partitions._tasks.stop()


async def test_frames_that_cannot_be_read_or_that_raise_are_dead_lettered_and_without_that_nothing_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, topics = Settings(state=tmp_path), Topics()
    memory = Memory(settings, topics)
    republisher = Republisher(settings, memory, log_of("metric_ingestion"))
    partitions = Partitions(settings, "cluster", memory, republisher, lambda _: {}, lambda _: None, lambda: False)
    owner = Owner(Fold(genesis("cluster", "window-log", 0)), "1")
    partitions._owners, real = {0: owner}, owner_module.decode

    def fail(value: bytes) -> Any:
        return real(value) if value != b"poison" else {}["planted"]

    monkeypatch.setattr(owner_module, "decode", fail)
    records = [topics.put("metric-frames", 0, TARGET.encode(), value) for value in (b"\xff", b"poison", b"\xff")]
    await partitions.receive(records)
    assert owner.position == 3
    assert [letter["origin-offset"] for letter in topics.letters()] == ["0", "1", "2"]
    assert "KeyError: 'planted'" in topics.letters()[1]["reason"]
    topics.refused.add("dead-letters")
    monkeypatch.setattr(partitions_module, "dead_letter", impatient)
    with pytest.raises(UnavailableError, match="metric_ingestion stops in front of that record"):
        await partitions.receive([topics.put("metric-frames", 0, TARGET.encode(), b"\xff")])


async def impatient(*about: Any) -> None:
    await dead_letters.dead_letter(*about, patience=0)


@pytest.mark.parametrize("available", [True, False])
async def test_otlp_records_that_raise_are_dead_lettered_before_anything_is_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, available: bool
) -> None:
    from services.metric_ingestion.doors import otlp_kafka

    settings, topics, commits = Settings(state=tmp_path), Topics(), list[int]()
    memory = Memory(settings, topics)

    def fail(value: bytes, json: bool) -> Any:
        raise RecursionError("planted")

    async def commit() -> None:
        commits.append(1)

    monkeypatch.setattr(otlp_kafka, "parse_partly", fail)
    if not available:
        topics.refused.add("dead-letters")
        monkeypatch.setattr(otlp_kafka, "dead_letter", impatient)
    intake = Intake(registry_module.Selector, FramePublisher(memory), memory, lambda: NOW, commit)  # type: ignore[arg-type]
    records: list[ConsumerRecord] = [topics.put("otlp_metrics", 0, None, b"x") for _ in range(2)]
    if available:
        await intake.receive(records)
        assert [letter["origin-offset"] for letter in topics.letters()] == ["0", "1"]
        assert commits == [1]
    else:
        with pytest.raises(UnavailableError):
            await intake.receive(records)
        assert commits == []


@pytest.mark.parametrize("at_start", [True, False])
def test_a_plan_that_cannot_be_compiled_is_dead_lettered_and_the_others_are_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_start: bool
) -> None:
    class Failing(Matcher):
        def __init__(self, one: Watched) -> None:
            if one.target == BAD:
                raise TypeError("planted")
            super().__init__(one)

    monkeypatch.setattr(registry_module, "Matcher", Failing)
    refused = list[tuple[ConsumerRecord, str]]()
    registry = Registry(Settings(state=tmp_path), lambda *one: refused.append(one))
    if not at_start:
        registry._read = True
        registry._compile()
    heard: list[Event] = [plan_registered(target=BAD), plan_registered()]
    for number, event in enumerate(heard):
        try:
            registry._on_event(Heard("plans", 3, number, event, {}))
        except TypeError:
            assert not at_start, "its reader dead-letters it"
    if at_start:
        registry._read = True
        registry._compile()
        ((record, reason),) = refused
        assert (record.topic, record.partition, record.offset) == ("plans", 3, 0)
        assert "TypeError: planted" in reason
    found = [one.target for partition in range(64) for one in registry.watched_in(partition)]
    assert found == [TARGET]
