"""The command line as its users run it: a process of its own, its words kept in files."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path


class Command:
    """One run of `penstock`, begun at once.

    Args:
        arguments: what follows `penstock`.
        out: file for its result; what it says besides goes to the same name with `.err`.
    """

    def __init__(self, arguments: tuple[str, ...], environment: Mapping[str, str], out: Path) -> None:
        self._out, self._err = out, out.with_suffix(f"{out.suffix}.err")
        # Into files, not pipes: nobody reads while it runs, and a full pipe would stop it.
        with self._out.open("wb") as result, self._err.open("wb") as progress:
            self._process = subprocess.Popen(  # noqa: S603 - our own command line, by a list of arguments
                (sys.executable, "-P", "-m", "penstock.cli", *arguments),
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=result,
                stderr=progress,
            )

    def done(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    def finish(self) -> tuple[int, str]:
        """Return its exit code, and its result or, if it failed without one, what it said; a late one is ended."""
        if not self.done():
            self._process.kill()
        return self._process.wait(), self._out.read_text() or self._err.read_text()
