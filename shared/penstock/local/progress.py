"""What is being done and how long it took, on stderr: live on a terminal, one appended line per change off it."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn


class Narrator:
    """Reports progress on stderr; `quiet` prints only warnings."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        terminal = sys.stderr.isatty()
        self._console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True, no_color=not terminal)

    def line(self, text: str) -> None:
        """Print one line."""
        if not self.quiet:
            self._console.print(text)

    def warn(self, text: str) -> None:
        """Print one line, also when quiet."""
        self._console.print(f"warning: {text}", style="yellow")

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Print what begins and, once it ended without an error, how long it took."""
        began = time.monotonic()
        if self.quiet:
            yield
            return
        if self._console.is_terminal:
            with self._console.status(what):
                yield
        else:
            self._console.print(f"... {what}")
            yield
        self._console.print(f"ok  {what} ({time.monotonic() - began:.1f} s)")

    @contextmanager
    def transfer(self, what: str, size: int) -> Iterator[Callable[[int], None]]:
        """Yield a function that takes counts of bytes as they arrive, of `size` in all."""
        if self.quiet or not self._console.is_terminal:
            yield self._quarters(what, size)
            return
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        with Progress(*columns, TimeRemainingColumn(), console=self._console, transient=True) as bar:
            task = bar.add_task(what, total=size)
            yield lambda count: bar.update(task, advance=count)

    def _quarters(self, what: str, size: int) -> Callable[[int], None]:
        done, said = 0, 0

        def took(count: int) -> None:
            nonlocal done, said
            done += count
            quarter = done * 4 // max(1, size)
            if quarter > said:
                said = quarter
                self.line(f"... {what}: {min(100, quarter * 25)} % of {size / 1e6:.0f} MB")

        return took
