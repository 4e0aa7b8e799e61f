"""Whatever one input raises in a decider's shell or a reader is that input's dead letter, also over a restart."""

import asyncio
from math import inf
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import ConsumerRecord, TopicPartition

from penstock.chain import Decision, Document, Fold, Item, Record, genesis
from penstock.chain.failures import FAULT
from penstock.errors import FaultyVersionError, UnavailableError
from penstock.events import Event, HoldRequested
from penstock.settings import Settings
from services.runtime.clock.watermark import Sight
from services.runtime.decider import shell as shell_module
from services.runtime.decider.partition import PartitionWorker
from services.runtime.decider.shell import DeciderShell, Spec
from services.runtime.kafka import dead_letters, republisher
from services.runtime.kafka.dead_letters import OnceBuried, dead_letter
from services.runtime.kafka.reader import Heard, PublicReader
from services.runtime.kafka.republisher import Republisher
from services.runtime.kafka.subscriber import PositionedSubscriber
from services.runtime.process.service import system_clock
from tests.support.builders import an
from tests.support.deciders.in_memory import Memory, Topics, record_of
from tests.support.plans import TARGET

BAD = "poison"


def hold(name: str) -> HoldRequested:
    return an(HoldRequested, id=name, target=TARGET)


def counted(target: str, document: Document, event: Event) -> Decision:
    return Decision({"n": document.get("n", 0) + 1})


def failing(target: str, document: Document, event: Event) -> Decision:
    if event.id.startswith(BAD):
        raise KeyError("planted")
    return counted(target, document, event)


class Copy:
    """A decider's shell whose Kafka is in memory; a second one on the same topics is its restart."""

    def __init__(self, spec: Spec, settings: Settings, topics: Topics) -> None:
        self.topics, self.settings = topics, settings
        self.shell = DeciderShell(spec, settings, system_clock)
        memory = Memory(settings, topics)
        self.shell._appender = self.shell._republisher._appender = memory
        self.worker: PartitionWorker = self.shell._new_worker(0, Fold(genesis("cluster", "rollout-log", 0)))
        self.failure: BaseException | None = None

    async def start(self) -> None:
        for record in list(self.topics.records[("rollout-log", 0)]):
            self.worker.read(record)
        self.worker.replica.resync()
        self.worker.start_deciding(None)
        await self.shell._republisher.start()

    async def read(self, *records: ConsumerRecord) -> None:
        """Hand over what a consumer reads, from the place on that the log has consumed."""
        position = self.worker.replica.fold.cursor.get("commands")
        start = position.next if position else 0
        subscriber = PositionedSubscriber(None, {TopicPartition("commands", 0): start}, self.shell._on_records)  # type: ignore[arg-type]
        try:
            await subscriber._handle(SimpleNamespace(raw_message=records))  # type: ignore[arg-type]
        except BaseException as error:
            assert not subscriber.alive()
            self.failure = error
        for _ in range(3000):
            await asyncio.sleep(0)
        await asyncio.sleep(0.02)

    async def stop(self) -> None:
        await self.shell._tasks.stop()
        await self.shell._republisher.stop()


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    async def nowhere(*_: object) -> None:
        return

    monkeypatch.setattr(Republisher, "_find_positions", nowhere)
    monkeypatch.setattr(republisher, "_AFTER_ERROR_S", 0)
    return Settings(state=tmp_path)


def commands(*names: str) -> list[ConsumerRecord]:
    return [record_of(hold(name), offset=number) for number, name in enumerate(names)]


def spec_of(**hooks: Any) -> Spec:
    return Spec("rollout_control", hooks.pop("decide", counted), plain=("commands",), **hooks)


async def test_an_input_that_the_decision_fails_on_is_dead_lettered_and_not_met_again_after_a_restart(
    settings: Settings,
) -> None:
    topics, records = Topics(), commands("a", BAD, "b")
    first = Copy(spec_of(decide=failing), settings, topics)
    await first.start()
    await first.read(*records)
    assert first.worker.replica.fold.documents[TARGET] == {"n": 2}
    await first.stop()
    written = len(topics.records[("rollout-log", 0)])
    second = Copy(spec_of(decide=failing), settings, topics)
    await second.start()
    await second.read(*records)
    assert second.failure is None
    assert len(topics.records[("rollout-log", 0)]) == written
    assert second.worker.replica.fold.documents[TARGET] == {"n": 2}
    await second.stop()
    assert {(one["origin-topic"], one["origin-offset"]) for one in topics.letters()} == {("commands", "1")}
    assert all(one["reason"].startswith(f"{FAULT}KeyError: 'planted'") for one in topics.letters())


@pytest.mark.parametrize("hook", ["received", "accepted"])
async def test_what_a_hook_raises_for_one_record_is_its_dead_letter_and_the_next_are_decided(
    settings: Settings, hook: str
) -> None:
    def received(item: Item) -> None:
        if item.events[0].id == BAD:
            raise ZeroDivisionError("planted")

    def accepted(target: str, record: Record, document: Document) -> None:
        if record.inputs[0].events[0]["id"] == BAD:
            raise ZeroDivisionError("planted")

    topics = Topics()
    copy = Copy(spec_of(**{hook: received if hook == "received" else accepted}), settings, topics)
    await copy.start()
    await copy.read(*commands("a", BAD, "b"))
    assert copy.failure is None
    assert copy.worker.replica.fold.documents[TARGET] == {"n": 3}
    (letter,) = topics.letters()
    assert letter["origin-topic"] == ("commands" if hook == "received" else "rollout-log")
    assert letter["origin-offset"] == "1"
    assert "ZeroDivisionError: planted" in letter["reason"]
    await copy.stop()


async def test_a_hundred_failures_in_a_row_stop_the_shell_and_a_restart_skips_no_more(settings: Settings) -> None:
    topics, records = Topics(), commands(*(f"{BAD}-{number}" for number in range(120)))
    for _ in range(3):
        copy = Copy(spec_of(decide=failing), settings, topics)
        await copy.start()
        await copy.read(*records)
        await copy.read(*records)
        assert isinstance(copy.failure, FaultyVersionError)
        assert "failed on 100 inputs" in str(copy.failure)
        assert "PENSTOCK_DEAD_LETTER_LIMIT" in str(copy.failure)
        await copy.stop()
        assert len(topics.records[("rollout-log", 0)]) == 100
    mended = Copy(spec_of(), settings.model_copy(), topics)
    mended.worker.replica._failures = shell_module.Failures("another version")
    await mended.start()
    await mended.read(*records)
    assert mended.worker.replica.fold.documents[TARGET] == {"n": 20}
    await mended.stop()


async def test_a_decision_whose_dead_letter_is_not_taken_waits_and_holds_up_what_is_published_behind_it(
    settings: Settings,
) -> None:
    topics = Topics(refused={"dead-letters"})
    copy = Copy(spec_of(decide=failing), settings, topics)
    await copy.start()
    await copy.read(*commands(BAD, "b"))
    assert topics.letters() == []
    assert not copy.shell._republisher.idle(0), "its dead letter is still due"
    topics.refused.clear()
    await copy.read()
    assert len(topics.letters()) == 1
    await copy.stop()


async def test_a_record_without_a_dead_letter_stops_its_reader_by_name(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters, "_AFTER_ERROR_S", 0)
    memory = Memory(settings, Topics(refused={"dead-letters"}))
    with pytest.raises(UnavailableError, match=r"dead letter of commands-0-0 cannot be kept .* console stops in front"):
        await dead_letter(memory, "console", record_of(hold("a")), "because", patience=0)


async def test_a_reader_hands_on_what_its_projection_fails_on_and_once_over_a_restart(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics, seen = Topics(), list[str]()

    def project(heard: Heard) -> None:
        if heard.event.id == BAD:
            raise AttributeError("planted")
        seen.append(heard.event.id)

    async def kept(_: Settings, places: object, note: Any) -> None:
        for (topic, _partition), some in topics.records.items():
            for record in some if topic == "dead-letters" else ():
                note(record)

    monkeypatch.setattr(dead_letters, "read_span", kept)
    for _ in range(2):
        once, refused = OnceBuried(settings, Memory(settings, topics), "console"), list[tuple[ConsumerRecord, str]]()
        reader = PublicReader(settings, ["commands"], project, on_refused=lambda *one: refused.append(one))  # noqa: B023
        reader._on_records(commands("a", BAD, "b"))
        for record, reason in refused:
            await once.keep(record, reason)
    assert seen == ["a", "b"] * 2
    (letter,) = topics.letters()
    assert "AttributeError: planted" in letter["reason"]


@pytest.mark.parametrize("state", ["absent", "unassigned", "lost between two calls"])
def test_a_consumer_that_is_being_replaced_sees_nothing_and_raises_nothing(state: str) -> None:
    place = TopicPartition("commands", 0)

    class Consumer:
        def assignment(self) -> set[TopicPartition]:
            return set() if state == "unassigned" else {place}

        def highwater(self, _: TopicPartition) -> int:
            assert False, "Partition is not assigned"  # noqa: B011, PT015 - as aiokafka does

        last_poll_timestamp = highwater

    subscriber = PositionedSubscriber(None, {place: 5}, lambda _: None)  # type: ignore[arg-type]
    subscriber._subscriber = SimpleNamespace(consumer=None if state == "absent" else Consumer())
    assert subscriber.sight(place) == Sight(5, 5, -inf)


async def test_what_another_program_writes_stops_no_version_where_no_seal_shows_it_either(settings: Settings) -> None:
    topics = Topics()
    junk = [ConsumerRecord("commands", 0, offset, 1, 1, None, b"not JSON", None, 0, 8, ()) for offset in range(150)]
    good = record_of(hold("good"), offset=150)
    for _ in range(2):
        copy = Copy(spec_of(decide=counted), settings, topics)
        await copy.start()
        await copy.read(*junk, good)
        assert copy.failure is None
    assert copy.worker.replica.fold.documents[TARGET] == {"n": 1}
