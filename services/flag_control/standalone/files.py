"""flagd files as sources: read, checked, and read again when they change, also when replaced by rename."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from penstock.chain.document import canonical
from penstock.errors import InvalidError, Problem
from services.flag_control.evaluation.bucketing import Bucketing
from services.flag_control.evaluation.validate import Checked, check, check_text
from services.flag_control.evaluation.yaml12 import parse_yaml
from services.flag_control.serving.store import FlagStore

POLL_SECONDS = 0.01
_SETTLE_SECONDS = 0.0025
_SETTLE_TICKS = 40
_LARGE_BYTES = 64 * 1024

Stamp = tuple[int, int, int, int, int] | None


class Files:
    """Keeps a store equal to some files. A file that turns bad is reported; its last good set stays."""

    def __init__(
        self,
        paths: Sequence[Path],
        store: FlagStore,
        print_line: Callable[[str], None],
        *,
        lenient: bool = False,
        bucketing: Bucketing = Bucketing.V3,
    ) -> None:
        """Take the files in order: later ones win where they have the same flag."""
        self._paths = tuple(dict.fromkeys(paths))
        self._store = store
        self._print_line = print_line
        self._lenient = lenient
        self._bucketing = bucketing
        self._stamps: dict[Path, Stamp] = {}
        self._changing: dict[Path, int] = {}
        self._seen: dict[Path, bytes] = {}
        self._wrong: dict[Path, InvalidError] = {}
        self._bad: dict[Path, None] = {}

    @property
    def missing(self) -> tuple[Path, ...]:
        """Files that are gone; one that is replaced by rename is not."""
        return tuple(path for path, stamp in self._stamps.items() if stamp is None and path not in self._changing)

    @property
    def refused(self) -> tuple[Path, ...]:
        """Files whose last good flags are served because their present content is invalid."""
        return tuple(path for path in self._bad if path not in self.missing)

    def load(self) -> None:
        """Publish every file.

        Raises:
            InvalidError: any of them is missing or bad; the problems of all are listed.
        """
        problems: list[Problem] = []
        loaded = []
        for path in self._paths:
            self._stamps[path] = _stamp(path)
            try:
                self._seen[path] = _content(path)
                loaded.append(self._checked(path, self._seen[path]))
            except InvalidError as error:
                problems += [Problem(f"{path}: {p.where}" if p.where else str(path), p.what) for p in error.problems]
        if problems:
            raise InvalidError("flag files", problems)
        for path, checked in zip(self._paths, loaded, strict=True):
            self._publish(path, checked)

    async def follow(self) -> None:
        """Publish changes until cancelled."""
        while True:
            # A file that was just written is often not whole yet, and will be in a moment.
            await asyncio.sleep(_SETTLE_SECONDS if self._changing else POLL_SECONDS)
            for path in self._paths:
                await self._look(path)

    async def _look(self, path: Path) -> None:
        stamp = _stamp(path)
        if stamp != self._stamps[path]:
            self._stamps[path] = stamp
            # File times are coarse: a second write within their grain shows only in the content.
            self._changing[path] = _SETTLE_TICKS
        elif path not in self._changing:
            return
        self._changing[path] -= 1
        # A large file takes its time, and is read beside the serving; a small one would wait longer for a thread.
        large = stamp is not None and stamp[3] > _LARGE_BYTES
        checked = await asyncio.to_thread(self._newer, path) if large else self._newer(path)
        if checked is not None:
            self._wrong.pop(path, None)
            self._bad.pop(path, None)
            before = self._store.sources.get(str(path))
            # Compared as JSON: to Python, 1 == 1.0 == True.
            if before is None or canonical(before.flags) != canonical(checked.source.flags):
                self._publish(path, checked)
        if self._changing[path] <= 0:
            del self._changing[path]
            # A file that is being written is bad for a moment only.
            if (error := self._wrong.pop(path, None)) is not None:
                self._bad[path] = None
                self._print_line(f"{error}\n{path}: the last good flags stay in force")

    def _newer(self, path: Path) -> Checked | None:
        """Return what the file holds, None where it is as it was at the last look, or bad: that is noted."""
        before = self._seen.pop(path, None)
        try:
            content = self._seen[path] = _content(path)
            return self._checked(path, content) if content != before else None
        except InvalidError as error:
            self._wrong[path] = error
            return None

    def _publish(self, path: Path, checked: Checked) -> None:
        for warning in checked.warnings:
            self._print_line(f"warning: {path}: {warning}")
        self._store.publish(checked.source)
        self._print_line(f"{path}: {len(checked.source.flags)} flags in force")

    def _checked(self, path: Path, content: bytes) -> Checked:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InvalidError(str(path), [Problem("", f"cannot be read: {error}")]) from None
        if path.suffix in {".yaml", ".yml"}:
            document = parse_yaml(str(path), text)
            return check(str(path), document, lenient=self._lenient, bucketing=self._bucketing)
        return check_text(str(path), text, lenient=self._lenient, bucketing=self._bucketing)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidError(str(path), [Problem("", f"cannot be read: {error.strerror or error}")]) from None


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_size, found.st_dev
