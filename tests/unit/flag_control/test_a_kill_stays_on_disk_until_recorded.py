"""A kill leaves the disk only when the accepted state on the disk has it: a start without Kafka reads nothing else."""

import threading
from pathlib import Path

import pytest

from penstock.chain import Document
from penstock.events import Event, FlagSubmitted, KillRequested
from services.flag_control import operations as module
from services.flag_control.decide import decide
from services.flag_control.fallback.kill_spool import Spool
from services.flag_control.fallback.last_good import kept_of
from services.flag_control.fallback.peers import Peers
from services.flag_control.operations import FlagControls
from services.flag_control.publisher import Publisher
from services.flag_control.served_reports import Reports
from services.flag_control.serving.flagd_sync import Streams
from services.flag_control.serving.store import FlagStore
from services.flag_control.serving.usage import Usage
from services.runtime.process.service import system_clock
from tests.support.builders import an


class SlowLog:
    """Takes every request and records it only when told to."""

    def __init__(self) -> None:
        self.documents: dict[str, Document] = {}
        self.heard: list[Event] = []

    def ready(self) -> bool:
        return True

    def observe(self, event: Event) -> None:
        self.heard.append(event)

    def record(self, event: Event) -> None:
        before = self.documents.get(event.target, {})
        self.documents[event.target] = decide(event.target, before, event).document


def world(folder: Path) -> tuple[SlowLog, Spool, FlagControls, KillRequested]:
    log, spool = SlowLog(), Spool(folder / "kills")
    submitted, kill = an(FlagSubmitted), an(KillRequested)
    kill = kill.model_copy(update={"target": submitted.target})
    publisher = Publisher(FlagStore(), lambda target: log.documents.get(target, {}))
    reports = Reports("one", Streams(), lambda _: None, system_clock)
    usage = Usage(lambda: 1.0)
    controls = FlagControls(FlagStore(), publisher, spool, Peers(""), reports, usage, log, system_clock)
    log.record(submitted)
    publisher.settle(submitted.target, frozenset({submitted.id}))
    return log, spool, controls, kill


async def test_the_state_before_the_kill_leaves_it_on_disk_and_the_state_with_it_takes_its_place(
    tmp_path: Path,
) -> None:
    log, spool, controls, kill = world(tmp_path)
    answer = await controls.kill(kill, "", False)
    assert (answer["in_force"], answer["recorded"]) == (True, False)
    controls.saved((kept_of(kill.target, log.documents[kill.target], (), ""),))
    assert spool.load() == (kill,)
    log.record(kill)
    controls.saved((kept_of(kill.target, log.documents[kill.target], (), ""),))
    assert Spool(tmp_path / "kills").load() == ()


async def test_a_kill_asked_for_again_is_not_recorded_before_the_log_has_it(tmp_path: Path) -> None:
    log, _, controls, kill = world(tmp_path)
    await controls.kill(kill, "", False)
    assert (await controls.kill(kill, "", False))["recorded"] is False
    log.record(kill)
    assert (await controls.kill(kill, "", False))["recorded"] is True


async def test_a_disk_that_refuses_a_kill_keeps_no_flag_on_and_is_told_of(tmp_path: Path) -> None:
    log, _, controls, kill = world(tmp_path)
    (tmp_path / "kills.new").mkdir()
    answer = await controls.kill(kill, "", False)
    assert (answer["in_force"], answer["on_disk"]) == (True, False)
    assert kill in log.heard, "the log may have it all the same"


async def test_a_disk_that_hangs_delays_a_kill_by_its_answer_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_DISK_SECONDS", 0.3)
    _, spool, controls, kill = world(tmp_path)
    free, was_off = threading.Event(), []
    add = spool.add

    def hanging(one: KillRequested) -> None:
        was_off.append(bool(controls.flag(kill.target)["killed"]))
        free.wait()
        add(one)

    monkeypatch.setattr(spool, "add", hanging)
    answer = await controls.kill(kill, "", False)
    free.set()
    assert was_off == [True]
    assert (answer["in_force"], answer["on_disk"]) == (True, False)
