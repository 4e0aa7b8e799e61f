"""Children of the local stack never outlive their parent, however it goes, and neither do theirs."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from penstock.local.processes import Child, Watchdog, stop_all

PATIENCE_S = 10.0
FAMILY = """
import subprocess, sys, time
from pathlib import Path
from penstock.local.processes import Child, Watchdog

folder = Path(sys.argv[1])
grandchild = "import subprocess, sys, time; subprocess.Popen(['sleep', '300']); print(1); time.sleep(300)"
child = Child("child", [sys.executable, "-c", grandchild], folder / "log", Watchdog())
child.start()
print(child.pid, flush=True)
time.sleep(300)
"""


def members(group: int) -> list[int]:
    """Return the processes of a group that still run; zombies have ended."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def wait_for_members(group: int, count: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while len(members(group)) != count:
        assert time.monotonic() < deadline, f"{members(group)} instead of {count} processes"
        time.sleep(0.02)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_a_parent_killed_by_kill_9_leaves_neither_children_nor_theirs(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", FAMILY, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    with parent.stdout:
        group = int(parent.stdout.readline())
        wait_for_members(group, 2)
        parent.kill()
        parent.wait()
    wait_for_members(group, 0)


def test_a_child_that_ignores_the_signal_is_killed_after_the_time_given(tmp_path: Path) -> None:
    stubborn = "import signal, sys, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(300)"
    deaf = Child("deaf", [sys.executable, "-c", stubborn], tmp_path / "deaf")
    polite = Child("polite", ["sleep", "300"], tmp_path / "polite")
    deaf.start()
    polite.start()
    deadline = time.monotonic() + PATIENCE_S
    while "deaf" not in deaf.last_words():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    stop_all([deaf, polite], 0.3)
    assert (deaf.exit_code, polite.exit_code) == (-signal.SIGKILL, -signal.SIGTERM)


def test_last_words_are_those_of_this_start_only(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("from an earlier start\n")
    child = Child("talker", [sys.executable, "-c", "print('no room on the disk')"], log)
    child.start()
    assert child.wait(time.monotonic() + PATIENCE_S)
    assert child.last_words() == "no room on the disk"


def test_a_watchdog_that_is_closed_leaves_alone_what_it_was_told_to_forget() -> None:
    sleepers = [subprocess.Popen(["sleep", "300"], start_new_session=True) for _ in range(2)]
    watchdog = Watchdog()
    try:
        for sleeper in sleepers:
            watchdog.watch(sleeper.pid)
        watchdog.forget(sleepers[1].pid)
        watchdog.close()
        assert sleepers[0].wait(PATIENCE_S) == -signal.SIGKILL
        assert sleepers[1].poll() is None
    finally:
        for sleeper in sleepers:
            sleeper.kill()
            sleeper.wait()


def test_a_child_gets_the_environment_that_it_is_given_and_nothing_else(tmp_path: Path) -> None:
    child = Child("env", [sys.executable, "-I", "-c", "import os; print(sorted(os.environ))"], tmp_path / "log")
    child.start({"PATH": os.environ["PATH"], "LC_CTYPE": "C.UTF-8"})
    assert child.wait(time.monotonic() + PATIENCE_S)
    assert child.last_words() == "['LC_CTYPE', 'PATH']"


def test_a_command_that_is_not_there_is_said_in_its_log(tmp_path: Path) -> None:
    child = Child("absent", [str(tmp_path / "absent")], tmp_path / "log")
    child.start()
    assert child.wait(time.monotonic() + PATIENCE_S)
    assert child.exit_code == 1
    assert child.last_words() == f"{tmp_path / 'absent'} cannot be run: No such file or directory"


def test_a_child_ends_by_a_broken_pipe_as_it_would_from_a_shell(tmp_path: Path) -> None:
    child = Child("writer", ["sh", "-c", "kill -PIPE $$; echo survived"], tmp_path / "log")
    child.start()
    assert child.wait(time.monotonic() + PATIENCE_S)
    assert child.exit_code == -signal.SIGPIPE
