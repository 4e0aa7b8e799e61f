"""A kill leaves the disk only when the accepted state on the disk has it: a start without Kafka reads nothing else."""

import threading
from pathlib import Path

import pytest

from penstock.chain import Document
from penstock.events import Event, FlagSubmitted, KillRequested, OptOutRequested, UndoRequested
from services.flag_control.decide import decide
from services.flag_control.fallback import kill_spool as module
from services.flag_control.fallback.kill_spool import KillSpool
from services.flag_control.fallback.last_good import saved_flag
from services.flag_control.operations import FlagOperations
from services.flag_control.publisher import Publisher
from services.flag_control.serving.store import FlagStore
from services.flag_control.serving.usage import Usage
from tests.support.builders import an
from tests.support.flags.operations import operations_on


class SlowLog:
    """Takes every request and records it only when told to."""

    def __init__(self) -> None:
        self.documents: dict[str, Document] = {}
        self.submitted: list[Event] = []

    def ready(self) -> bool:
        return True

    def submit(self, event: Event, after: float = 0.0) -> None:
        self.submitted.append(event)

    def record(self, event: Event) -> None:
        before = self.documents.get(event.target, {})
        self.documents[event.target] = decide(event.target, before, event).document


def world(folder: Path) -> tuple[SlowLog, KillSpool, FlagOperations, KillRequested]:
    log, spool = SlowLog(), KillSpool(folder / "kills")
    submitted, kill = an(FlagSubmitted), an(KillRequested)
    kill = kill.model_copy(update={"target": submitted.target})
    publisher = Publisher(FlagStore(), lambda target: log.documents.get(target, {}))
    operations = operations_on(log, spool, FlagStore(), publisher, Usage(lambda: 1.0))
    log.record(submitted)
    publisher.apply_accepted(submitted.target, frozenset({submitted.id}))
    return log, spool, operations, kill


async def test_the_state_before_the_kill_leaves_it_on_disk_and_the_state_with_it_takes_its_place(
    tmp_path: Path,
) -> None:
    log, spool, operations, kill = world(tmp_path)
    answer = await operations.kill(kill, "", False)
    assert (answer["in_force"], answer["recorded"]) == (True, False)
    spool.forget_recorded((saved_flag(kill.target, log.documents[kill.target], (), ""),))
    assert spool.load() == (kill,)
    log.record(kill)
    spool.forget_recorded((saved_flag(kill.target, log.documents[kill.target], (), ""),))
    assert KillSpool(tmp_path / "kills").load() == ()


async def test_a_kill_that_the_log_decided_long_ago_leaves_the_disk_and_is_not_in_force_again(tmp_path: Path) -> None:
    log, spool, operations, kill = world(tmp_path)
    await operations.kill(kill, "", False)
    log.record(kill)
    log.record(an(UndoRequested, id="lift", target=kill.target, kill=kill.id, version=None))
    for number in range(150):
        log.record(
            an(
                OptOutRequested,
                id=f"edit-{number}",
                target=kill.target,
                attribute="targetingKey",
                values=(f"u{number}",),
            )
        )
    document = log.documents[kill.target]
    # A copy that was down while the kill was lifted starts with it on disk, and reads the log.
    store = FlagStore()
    publisher = Publisher(store, lambda target: log.documents.get(target, {}))
    publisher.serve_from({})
    for known in KillSpool(tmp_path / "kills").load():
        publisher.put_ahead(known)
    assert publisher.ahead == {kill.id}
    publisher.release(log.documents, lambda _, __: False)
    assert publisher.ahead == frozenset()
    assert publisher.state(kill.target).kills == ()
    assert kill.id in publisher.recorded(kill.target), "so it is not published again"
    spool.forget_recorded((saved_flag(kill.target, document, (), ""),))
    assert KillSpool(tmp_path / "kills").load() == ()


async def test_a_kill_asked_for_again_is_not_recorded_before_the_log_has_it(tmp_path: Path) -> None:
    log, _, operations, kill = world(tmp_path)
    await operations.kill(kill, "", False)
    assert (await operations.kill(kill, "", False))["recorded"] is False
    log.record(kill)
    assert (await operations.kill(kill, "", False))["recorded"] is True


async def test_a_disk_that_refuses_a_kill_keeps_no_flag_on_and_is_told_of(tmp_path: Path) -> None:
    log, _, operations, kill = world(tmp_path)
    (tmp_path / "kills.new").mkdir()
    answer = await operations.kill(kill, "", False)
    assert (answer["in_force"], answer["on_disk"]) == (True, False)
    assert kill in log.submitted, "the log may have it all the same"


async def test_a_disk_that_hangs_delays_a_kill_by_its_answer_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_DISK_SECONDS", 0.3)
    _, spool, operations, kill = world(tmp_path)
    free, was_off = threading.Event(), []
    add = spool.add

    def hanging(one: KillRequested) -> None:
        was_off.append(bool(operations.flag(kill.target)["killed"]))
        free.wait()
        add(one)

    monkeypatch.setattr(spool, "add", hanging)
    answer = await operations.kill(kill, "", False)
    free.set()
    assert was_off == [True]
    assert (answer["in_force"], answer["on_disk"]) == (True, False)
