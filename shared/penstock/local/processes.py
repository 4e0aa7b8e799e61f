"""Child processes that never outlive us: own group, parent-death signal, and a watchdog for their children."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from penstock.errors import UnavailableError
from penstock.local.interrupts import held_back

_PYTHON = (sys.executable, "-I", "-S", "-E", "-c")

_LAUNCHER = """
import ctypes, os, signal, sys
parent, command = int(sys.argv[1]), sys.argv[2:]
if sys.platform == "linux":
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        # The parent went before prctl: its death will not be reported any more.
        sys.exit(1)
for number in (signal.SIGPIPE, signal.SIGXFSZ):
    # Python ignores these, and what is ignored stays ignored in the command.
    signal.signal(number, signal.SIG_DFL)
try:
    os.execvp(command[0], command)
except OSError as error:
    sys.exit(f"{command[0]} cannot be run: {error.strerror}")
"""
"""Becomes the command, after asking to die with the parent.

A program of its own, because nothing may run between fork and exec in a process with threads: with gRPC's beside it,
a third of such children crashed, and servers of the parent closed.
"""

_WATCHDOG = """
import os, signal, sys
groups = set()
for line in sys.stdin:
    sign, group = line[0], int(line[1:])
    (groups.add if sign == "+" else groups.discard)(group)
for group in groups:
    try:
        os.killpg(group, signal.SIGKILL)
    except OSError:
        pass
"""
"""Reads the process groups to watch; the end of its input is the death of the one who wrote them."""


class Watchdog:
    """A small process that kills whole groups once we are gone, however we went: Linux tells only direct children."""

    def __init__(self) -> None:
        with held_back():
            self._process = subprocess.Popen(
                [*_PYTHON, _WATCHDOG],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
                text=True,
            )

    def watch(self, group: int) -> None:
        """Kill this process group when we are gone."""
        self._send(f"+{group}\n")

    def forget(self, group: int) -> None:
        """Let this process group be: it has ended."""
        self._send(f"-{group}\n")

    def close(self) -> None:
        """End the watchdog; groups still watched are killed."""
        with contextlib.suppress(BrokenPipeError):
            if self._process.stdin:
                self._process.stdin.close()
        self._process.wait()

    def _send(self, line: str) -> None:
        if self._process.stdin is None or self._process.poll() is not None:
            raise UnavailableError("the watchdog of the local stack has ended; stop and start the stack again")
        self._process.stdin.write(line)
        self._process.stdin.flush()


class Child:
    """One child process, its output appended to a log file.

    Start children from the main thread only: Linux sends the parent-death signal when the *thread* ends that forked.
    """

    def __init__(self, name: str, command: Sequence[str], log: Path, watchdog: Watchdog | None = None) -> None:
        self.name, self.command, self.log = name, list(command), log
        self._watchdog = watchdog
        self._process: subprocess.Popen[bytes] | None = None
        self._said = 0

    def start(self, environment: Mapping[str, str] | None = None, folder: Path | None = None) -> None:
        """Start it in a process group of its own."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log, held_back():
            self._said = log.tell()
            self._process = subprocess.Popen(
                [*_PYTHON, _LAUNCHER, str(os.getpid()), *self.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(environment) if environment is not None else None,
                cwd=folder,
                start_new_session=True,
            )
            if self._watchdog:
                self._watchdog.watch(self._process.pid)

    @property
    def pid(self) -> int:
        """Process id, also of its group; 0 before the start."""
        return self._process.pid if self._process else 0

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Exit code, negative for a signal; None while it runs."""
        return self._process.poll() if self._process else None

    def signal(self, number: int) -> None:
        """Send a signal to the process group, if it is still there."""
        if self._process:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)

    def wait(self, deadline: float) -> bool:
        """Return whether it has ended before `deadline` (time.monotonic)."""
        if self._process is None:
            return True
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return False
        self._ended()
        return True

    def kill(self) -> None:
        """SIGKILL to the whole group, and wait for its end."""
        self.signal(signal.SIGKILL)
        if self._process:
            self._process.wait()
            self._ended()

    def last_words(self, lines: int = 12) -> str:
        """Return the end of what it wrote since its start, for an error message."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(self._said, log.seek(0, os.SEEK_END) - 8192))
                text = log.read().decode(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.strip().splitlines()[-lines:])

    def _ended(self) -> None:
        # Its own children may still run: the group goes with its leader.
        self.signal(signal.SIGKILL)
        if self._watchdog and self._process:
            self._watchdog.forget(self._process.pid)


def stop_all(children: Iterable[Child], seconds: float) -> None:
    """Ask all to end at once (SIGTERM), kill after `seconds` those that have not."""
    asked = [child for child in children if child.pid]
    for child in asked:
        child.signal(signal.SIGTERM)
    deadline = time.monotonic() + seconds
    for child in asked:
        if not child.wait(deadline):
            child.kill()
