"""A server process under measurement, and what is asked of it."""

import subprocess
import sys
from types import TracebackType
from typing import Self


class Server:
    """A child process that serves; ends with the block.

    Attributes:
        http, sync: its ports.
    """

    def __init__(self, kind: str, flags: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.flags.server", kind, str(flags)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.http, self.sync = (int(port) for port in self._line().split())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait()

    def push(self, version: int) -> float:
        """Publish a version; return the monotonic time at which that began."""
        return float(self._asked(f"push {version}"))

    def rss(self) -> int:
        """Return resident bytes."""
        return int(self._asked("rss"))

    def cpu(self) -> float:
        """Return processor seconds used."""
        return float(self._asked("cpu"))

    def _asked(self, line: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._line()

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the measured server ended with status {self._process.wait()}")
        return line
