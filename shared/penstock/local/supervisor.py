"""Keeps child processes running: one that died is started again, later after each failure, and that is said."""

import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from penstock.errors import PenstockError
from penstock.local.processes import Child, stop_all

FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 15.0
SETTLED_S = 30.0
"""After that long alive, earlier failures are forgotten."""

Start = Callable[[], Child]
Report = Callable[[str], None]


def wait_after(failures: int) -> float:
    """Return the seconds to wait after that many failures in a row: doubling, with an end."""
    return min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** max(0, failures - 1))


@dataclass
class _Kept:
    start: Start
    child: Child
    began: float
    failures: int = 0
    due: float | None = None


class Supervisor:
    """Children by name, their process ids as files in a folder.

    Call `check` every few tenths of a second from the thread that started the children.
    """

    def __init__(self, pids: Path, report: Report, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder, self._report, self._clock = pids, report, clock
        self._kept: dict[str, _Kept] = {}

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of those that run."""
        return {name: kept.child.pid for name, kept in self._kept.items() if kept.child.alive}

    @property
    def dead(self) -> tuple[str, ...]:
        """Names of those that do not run at this moment."""
        return tuple(name for name, kept in self._kept.items() if not kept.child.alive)

    def start(self, name: str, start: Start) -> None:
        """Start a child and keep it running from now on."""
        self._kept[name] = _Kept(start, start(), self._clock())
        self._note(name)

    def child(self, name: str) -> Child:
        """Return the present process of that name."""
        return self._kept[name].child

    def check(self) -> None:
        """Start again what has died and whose wait is over."""
        now = self._clock()
        for name, kept in self._kept.items():
            if kept.child.alive:
                if kept.failures and now - kept.began > SETTLED_S:
                    kept.failures = 0
            elif kept.due is None:
                self._mourn(name, kept, f"ended ({_how(kept.child.exit_code)})", now)
            elif now >= kept.due:
                self._again(name, kept, now)

    def stop(self, names: Iterable[str], seconds: float) -> None:
        """End those children together, by force after `seconds`, and keep them no longer."""
        leaving = [name for name in names if name in self._kept]
        stop_all([self._kept[name].child for name in leaving], seconds)
        for name in leaving:
            del self._kept[name]
            self._path(name).unlink(missing_ok=True)

    def kill(self) -> None:
        """End everything at once."""
        for kept in self._kept.values():
            kept.child.kill()

    def _mourn(self, name: str, kept: _Kept, what: str, now: float) -> None:
        kept.failures += 1
        wait = wait_after(kept.failures)
        kept.due = now + wait
        self._path(name).unlink(missing_ok=True)
        self._report(f"{name} {what}; starting it again in {wait:.1f} s (its log: {kept.child.log})")

    def _again(self, name: str, kept: _Kept, now: float) -> None:
        with contextlib.suppress(PenstockError):
            # What it has left in its group must be gone before the next one comes.
            kept.child.kill()
        try:
            kept.child = kept.start()
        except PenstockError as error:
            self._mourn(name, kept, f"did not start ({error})", now)
            return
        kept.began, kept.due = self._clock(), None
        self._note(name)
        self._report(f"{name} runs again (process {kept.child.pid})")

    def _note(self, name: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._path(name).write_text(f"{self._kept[name].child.pid}\n")

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.pid"


def _how(code: int | None) -> str:
    if code is None:
        return "gone"
    return f"signal {-code}" if code < 0 else f"exit code {code}"
