"""What died is started again, later after each failure, and that is said."""

from pathlib import Path

import pytest

from penstock.errors import UnavailableError
from penstock.local.processes import Child
from penstock.local.supervisor import LONGEST_WAIT_S, SETTLED_S, Supervisor, wait_after


class Actor(Child):
    """A child without a process: dies when the test says so."""

    def __init__(self, pid: int, log: Path) -> None:
        super().__init__("actor", (), log)
        self._pid, self.code = pid, None if pid else 0

    @property
    def pid(self) -> int:
        return self._pid

    @property
    def alive(self) -> bool:
        return self.code is None

    @property
    def exit_code(self) -> int | None:
        return self.code

    def kill(self) -> None:
        self.code = -9 if self.code is None else self.code


class Stage:
    """A supervisor on a clock by hand, with one actor."""

    def __init__(self, folder: Path) -> None:
        self.now, self.said, self.started, self.refuse = 0.0, list[str](), 0, False
        self.folder = folder
        self.supervisor = Supervisor(folder / "pids", self.said.append, lambda: self.now)
        self.supervisor.start("gate_evaluation", self.start)

    def start(self) -> Child:
        if self.refuse:
            raise UnavailableError("no room")
        self.started += 1
        self.actor = Actor(100 + self.started, self.folder / "log")
        return self.actor

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.supervisor.check()


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_waits_double_and_have_an_end() -> None:
    assert [wait_after(failures) for failures in (1, 2, 3, 4)] == [0.25, 0.5, 1.0, 2.0]
    assert wait_after(40) == LONGEST_WAIT_S


def test_a_dead_service_is_started_again_after_its_wait_and_both_are_said(stage: Stage) -> None:
    stage.actor.code = -9
    stage.pass_time(0.1)
    assert stage.started == 1
    assert "gate_evaluation ended (signal 9); starting it again in 0.2 s" in stage.said[0]
    stage.pass_time(0.3)
    assert stage.started == 2
    assert stage.said[1] == "gate_evaluation runs again (process 102)"


def test_one_that_keeps_dying_waits_longer_each_time(stage: Stage) -> None:
    for _ in range(3):
        stage.actor.code = 1
        stage.pass_time(0.1)
        stage.pass_time(20.0)
    assert ["in 0.2 s" in stage.said[0], "in 0.5 s" in stage.said[2], "in 1.0 s" in stage.said[4]] == [True] * 3


def test_failures_are_forgotten_once_it_has_run_for_a_while(stage: Stage) -> None:
    stage.actor.code = 1
    stage.pass_time(0.1)
    stage.pass_time(1.0)
    stage.pass_time(SETTLED_S + 1)
    stage.actor.code = 1
    stage.pass_time(0.1)
    assert "in 0.2 s" in stage.said[-1]


def test_a_start_that_fails_is_said_and_tried_again(stage: Stage) -> None:
    stage.actor.code, stage.refuse = 1, True
    stage.pass_time(0.1)
    stage.pass_time(1.0)
    assert "did not start (no room); starting it again in 0.5 s" in stage.said[-1]
    stage.refuse = False
    stage.pass_time(1.0)
    assert stage.started == 2


def test_the_process_id_of_what_runs_stands_in_a_file_and_only_then(stage: Stage) -> None:
    file = stage.folder / "pids" / "gate_evaluation.pid"
    assert file.read_text() == "101\n"
    stage.actor.code = 1
    stage.pass_time(0.1)
    assert not file.exists()
    stage.pass_time(1.0)
    assert file.read_text() == "102\n"
    assert stage.supervisor.pids == {"gate_evaluation": 102}


def test_what_was_stopped_is_not_started_again(stage: Stage) -> None:
    stage.actor.code = 0
    stage.supervisor.stop(["gate_evaluation"], 0.0)
    stage.pass_time(60.0)
    assert stage.started == 1
    assert stage.said == []
