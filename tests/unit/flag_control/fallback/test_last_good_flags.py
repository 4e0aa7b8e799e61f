"""What is kept on disk for a start without Kafka: each flag whole, broken files left out, and never raised again."""

import asyncio
import logging
import threading
from collections.abc import Iterable
from pathlib import Path

import pytest
from msgspec.structs import replace

from penstock.chain import Document
from penstock.events import Event, FlagSubmitted, KillRequested, RollbackStarted, StageEntered
from services.flag_control.decide import decide
from services.flag_control.fallback.last_good import LastGood, SavedFlag, saved_flag
from services.flag_control.fallback.last_good_writer import LastGoodWriter
from services.flag_control.flag.change import effective_exposure
from services.flag_control.flag.exposure import key_of, set_of
from services.flag_control.flag.state import load
from services.flag_control.publisher import Publisher
from services.flag_control.serving.store import FlagStore
from services.flag_control.serving.streams import Signal
from tests.support.builders import an

TARGET = an(FlagSubmitted).target
OTHER = "production/other/banner"


def decided(*events: Event, target: str = TARGET) -> Document:
    document: Document = {}
    for event in events:
        document = decide(target, document, event.model_copy(update={"target": target})).document
    return document


SUBMITTED = an(FlagSubmitted)
ENTERED = an(StageEntered, id="entry-1", target=TARGET, exposure=0.5, audience={})
ROLLED_BACK = an(RollbackStarted, id="rollback-1", target=TARGET)
EXPOSED = decided(SUBMITTED, ENTERED)


class World:
    def __init__(self) -> None:
        self.documents: dict[str, Document] = {}
        self.store = FlagStore()
        self.publisher = Publisher(self.store, lambda target: self.documents.get(target, {}))

    def exposure(self, target: str = TARGET) -> float:
        return effective_exposure(self.publisher.state(target))

    def flag(self, target: str = TARGET) -> Document | None:
        found = self.store.get(f"flagSetId={set_of(target)}")
        return found.flags.get(key_of(target)) if found else None


def test_what_is_written_is_read_back_without_the_history(tmp_path: Path) -> None:
    folder = LastGood(tmp_path)
    folder.write([saved_flag(TARGET, EXPOSED, [(ROLLED_BACK, 7)], "2026-03-02T14:00:00Z")])
    found = LastGood(tmp_path).load()[TARGET]
    assert load(found.document) == replace(load(EXPOSED), history={})
    assert found.events == ((ROLLED_BACK, 7),)
    assert found.at == "2026-03-02T14:00:00Z"


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: raw[:-20],
        lambda raw: b"",
        lambda raw: raw.replace(b'"exposure":0.5', b'"exposure":0.9'),
        lambda raw: b"\xff" * 50,
    ],
)
def test_a_damaged_file_is_named_and_costs_its_own_flag_only(
    tmp_path: Path, damage, caplog: pytest.LogCaptureFixture
) -> None:
    LastGood(tmp_path).write([saved_flag(TARGET, EXPOSED, (), "")])
    (path,) = tmp_path.iterdir()
    LastGood(tmp_path).write([saved_flag(OTHER, EXPOSED, (), "")])
    path.write_bytes(damage(path.read_bytes()))
    with caplog.at_level(logging.WARNING):
        assert set(LastGood(tmp_path).load()) == {OTHER}
    assert str(path) in caplog.text


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert LastGood(tmp_path / "none").load() == {}


def test_an_unchanged_flag_is_not_written_again_not_even_after_a_restart(tmp_path: Path) -> None:
    kept = saved_flag(TARGET, EXPOSED, (), "first")
    LastGood(tmp_path).write([kept])
    again = LastGood(tmp_path)
    again.load()
    again.write([saved_flag(TARGET, EXPOSED, (), "second")])
    assert LastGood(tmp_path).load()[TARGET].at == "first"


async def test_a_disk_that_refuses_is_tried_again_and_the_newest_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.flag_control.fallback.last_good_writer._AGAIN_SECONDS", 0.01)
    (tmp_path / "last").write_text("a file where a folder should be")
    state = [EXPOSED]
    saved: list[SavedFlag] = []
    writer = LastGoodWriter(
        LastGood(tmp_path / "last"), lambda target: saved_flag(target, state[0], (), ""), saved.extend, Signal()
    )
    writer.start()
    writer.changed(TARGET)
    await asyncio.sleep(0.05)
    assert saved == []
    state[0] = decided(SUBMITTED)
    # The attempt that is under way may still have the older one.
    writer.changed(TARGET)
    (tmp_path / "last").unlink()
    while not saved:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    await writer.stop()
    assert load(LastGood(tmp_path / "last").load()[TARGET].document).reach.exposure == 0


class SlowDisk(LastGood):
    """Takes the first write only after `free` is set."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.begun, self.free = threading.Event(), threading.Event()

    def write(self, flags: Iterable[SavedFlag]) -> None:
        if not self.begun.is_set():
            self.begun.set()
            self.free.wait()
        super().write(flags)


async def test_a_flag_is_not_on_disk_until_the_write_that_has_it_ends_or_the_disk_refuses(tmp_path: Path) -> None:
    disk, heard, moved = SlowDisk(tmp_path), asyncio.Event(), Signal()
    writer = LastGoodWriter(disk, lambda target: saved_flag(target, EXPOSED, (), ""), lambda flags: None, moved)
    moved.subscribe(heard.set)
    writer.start()
    writer.changed(TARGET)
    assert not writer.on_disk(TARGET)
    await asyncio.to_thread(disk.begun.wait)
    assert not writer.on_disk(TARGET), "it is being written"
    assert writer.on_disk(OTHER)
    disk.free.set()
    await asyncio.wait_for(heard.wait(), 10)
    assert writer.on_disk(TARGET)
    await writer.stop()


async def test_a_disk_that_has_refused_holds_no_report_back_and_is_tried_once_more_at_the_stop(tmp_path: Path) -> None:
    (tmp_path / "last").write_text("a file where a folder should be")
    heard, moved = asyncio.Event(), Signal()
    writer = LastGoodWriter(
        LastGood(tmp_path / "last"), lambda target: saved_flag(target, EXPOSED, (), ""), lambda flags: None, moved
    )
    moved.subscribe(heard.set)
    writer.start()
    writer.changed(TARGET)
    await asyncio.wait_for(heard.wait(), 10)
    assert writer.on_disk(TARGET)
    (tmp_path / "last").unlink()
    await writer.stop()
    assert TARGET in LastGood(tmp_path / "last").load()


async def test_a_slow_write_that_a_stop_meets_does_not_bring_an_older_exposure_back(tmp_path: Path) -> None:
    state, disk = [EXPOSED], SlowDisk(tmp_path)
    writer = LastGoodWriter(disk, lambda target: saved_flag(target, state[0], (), ""), lambda flags: None, Signal())
    writer.start()
    writer.changed(TARGET)
    await asyncio.to_thread(disk.begun.wait)
    state[0] = decided(SUBMITTED)
    writer.changed(TARGET)
    stopping = asyncio.create_task(writer.stop())
    await asyncio.sleep(0.05)
    disk.free.set()
    await stopping
    await asyncio.sleep(0.05)
    assert load(LastGood(tmp_path).load()[TARGET].document).reach.exposure == 0


def test_until_the_log_is_whole_what_is_held_is_served_and_nothing_that_is_half_read() -> None:
    world = World()
    world.publisher.serve_from({TARGET: EXPOSED})
    world.documents[TARGET] = decided(SUBMITTED)
    world.publisher.publish(TARGET)
    assert world.exposure() == 0.5
    held = world.store.get(f"flagSetId={set_of(TARGET)}")
    assert held is not None
    assert held.metadata["stale"] is True
    world.publisher.release(world.documents, lambda target, offset: False)
    assert world.exposure() == 0
    released = world.store.get(f"flagSetId={set_of(TARGET)}")
    assert released is not None
    assert "stale" not in released.metadata


def test_the_same_flags_from_the_log_are_no_longer_called_stale_and_no_client_is_bothered() -> None:
    world = World()
    world.publisher.serve_from({TARGET: EXPOSED})
    world.publisher.publish(TARGET)
    before = world.store.get()
    with world.store.subscribed("") as mailbox:
        mailbox._newest = None
        world.documents[TARGET] = EXPOSED
        world.publisher.release(world.documents, lambda target, offset: False)
        assert mailbox._newest is None
    after = world.store.get()
    assert before is not None
    assert after is not None
    assert (before.revision, after.metadata) == (after.revision, {"flagSetId": set_of(TARGET)})


def test_a_kill_goes_above_what_is_held_and_stays_when_the_log_takes_its_place() -> None:
    world, kill = World(), an(KillRequested, target=TARGET)
    world.publisher.serve_from({TARGET: EXPOSED})
    world.publisher.publish(TARGET)
    world.publisher.lower(kill)
    assert world.exposure() == 0
    world.documents[TARGET] = EXPOSED
    world.publisher.release(world.documents, lambda target, offset: False)
    assert world.exposure() == 0
    world.documents[TARGET] = decided(SUBMITTED, ENTERED, kill)
    world.publisher.apply_accepted(TARGET, frozenset({kill.id}))
    assert world.publisher.waiting(TARGET) == ()


@pytest.mark.parametrize(("covered", "exposure"), [(False, 0.0), (True, 0.5)])
def test_a_rollback_ahead_of_the_log_holds_after_a_restart_until_the_log_has_decided_it(
    covered: bool, exposure: float
) -> None:
    world = World()
    world.publisher.serve_from({})
    world.publisher.put_ahead(ROLLED_BACK, 7)
    world.documents[TARGET] = EXPOSED
    asked: list[int] = []
    world.publisher.release(world.documents, lambda target, offset: asked.append(offset) or covered)
    assert world.exposure() == exposure
    assert asked == [7]
    good = world.publisher.good(TARGET)
    assert good is not None
    assert good[1] == (() if covered else ((ROLLED_BACK, 7),))


def test_flags_that_the_log_does_not_know_are_served_no_more_and_no_set_turns_empty() -> None:
    world = World()
    world.publisher.serve_from({TARGET: EXPOSED, OTHER: EXPOSED})
    world.publisher.publish(TARGET, OTHER)
    with world.store.subscribed(set_of(OTHER)) as mailbox:
        mailbox._newest = None
        world.documents[TARGET] = EXPOSED
        world.publisher.release(world.documents, lambda target, offset: False)
        assert mailbox._newest is None, "its readers keep what they have"
    assert world.flag(TARGET) is not None
    assert world.store.get(f"flagSetId={set_of(OTHER)}") is None
    assert world.store.get(set_of(OTHER)) is None
    everything = world.store.get()
    assert everything is not None
    assert len(everything.flags) == 1
    assert not world.publisher.knows(OTHER)


def test_what_was_read_is_served_on_and_can_be_killed_when_the_log_goes_away_again() -> None:
    world = World()
    world.documents[TARGET] = EXPOSED
    world.publisher.release(world.documents, lambda target, offset: False)
    world.publisher.serve_on()
    world.documents.clear()
    world.publisher.publish(TARGET)
    assert world.exposure() == 0.5
    world.publisher.lower(an(KillRequested, target=TARGET))
    assert world.exposure() == 0
