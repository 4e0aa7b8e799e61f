"""flagd files as sources: read, checked, and read again when they change, also when replaced by rename."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml

from penstock.chain.document import canonical
from penstock.errors import InvalidError, PenstockError, Problem

from .bucketing import Bucketing
from .store import FlagStore
from .validate import Checked, check, check_text

POLL_SECONDS = 0.025
_SETTLE_TICKS = 4

Stamp = tuple[int, int, int, int] | None


class Files:
    """Keeps a store equal to some files. A file that turns bad is reported; its last good set stays."""

    def __init__(
        self,
        paths: Sequence[Path],
        store: FlagStore,
        say: Callable[[str], None],
        *,
        lenient: bool = False,
        bucketing: Bucketing = Bucketing.V3,
    ) -> None:
        """Take the files in order: later ones win where they hold the same flag."""
        self._paths = tuple(paths)
        self._store = store
        self._say = say
        self._lenient = lenient
        self._bucketing = bucketing
        self._stamps: dict[Path, Stamp] = {}
        self._settling: dict[Path, int] = {}

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
                loaded.append(self._read(path))
            except InvalidError as error:
                problems += [Problem(f"{path}: {p.where}" if p.where else str(path), p.what) for p in error.problems]
        if problems:
            raise InvalidError("flag files", problems)
        for path, checked in zip(self._paths, loaded, strict=True):
            self._publish(path, checked)

    async def follow(self) -> None:
        """Publish changes until cancelled."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            for path in self._paths:
                self._look(path)

    def _look(self, path: Path) -> None:
        stamp = _stamp(path)
        if stamp != self._stamps[path]:
            self._stamps[path] = stamp
            # File times are coarse: a second write within their grain shows only in the content.
            self._settling[path] = _SETTLE_TICKS
        elif self._settling.get(path, 0) == 0:
            return
        self._settling[path] -= 1
        last_look = self._settling[path] == 0
        try:
            checked = self._read(path)
        except PenstockError as error:
            # A file that is being written is bad for a moment only.
            if last_look:
                self._say(f"{error}\n{path}: the last good flags stay in force")
            return
        before = self._store.sources.get(str(path))
        # Compared as JSON: to Python, 1 == 1.0 == True.
        if before is None or canonical(before.flags) != canonical(checked.source.flags):
            self._publish(path, checked)

    def _publish(self, path: Path, checked: Checked) -> None:
        for warning in checked.warnings:
            self._say(f"warning: {path}: {warning}")
        self._store.publish(checked.source)
        self._say(f"{path}: {len(checked.source.flags)} flags in force")

    def _read(self, path: Path) -> Checked:
        try:
            text = path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidError(str(path), [Problem("", f"cannot be read: {error}")]) from None
        if path.suffix in {".yaml", ".yml"}:
            try:
                document = yaml.safe_load(text)
            except yaml.YAMLError as error:
                raise InvalidError(str(path), [Problem("", f"is not YAML: {error}")]) from None
            return check(str(path), document, lenient=self._lenient, bucketing=self._bucketing)
        return check_text(str(path), text, lenient=self._lenient, bucketing=self._bucketing)


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_size
