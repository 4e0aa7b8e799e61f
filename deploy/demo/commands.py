"""The command line as its users run it: a process of its own, its words kept in a file."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path


class Command:
    """One run of `penstock`, begun at once.

    Args:
        arguments: what follows `penstock`; out: file for what it says.
    """

    def __init__(self, arguments: tuple[str, ...], environment: Mapping[str, str], out: Path) -> None:
        self._out = out
        # Into a file, not a pipe: nobody reads while it runs, and a full pipe would stop it.
        with out.open("wb") as said:
            self._process = subprocess.Popen(  # noqa: S603 - our own command line, by a list of arguments
                (sys.executable, "-P", "-m", "penstock.cli", *arguments),
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
            )

    def done(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    def finish(self) -> tuple[int, str]:
        """Return its exit code and what it said; one that still runs is ended."""
        if not self.done():
            self._process.kill()
        return self._process.wait(), self._out.read_text()
