"""The flags as they were last served, on disk: what an instance serves that starts while Kafka is away."""

import hashlib
import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from penstock.chain import Document
from penstock.errors import InvalidError
from penstock.events import Event, from_json, to_json
from penstock.targets import parse_target

FORMAT = 1
_SUFFIX = ".flag"

log = logging.getLogger(__name__)


class Ahead(msgspec.Struct, frozen=True):
    """A rollback in force before the flag log had it, and its offset in the log that it came from."""

    event: dict[str, Any]
    offset: int


class SavedFlag(msgspec.Struct, frozen=True):
    """One flag.

    Attributes:
        document: its accepted state, without the history; ahead: what was in force on top of it.
        at: when this was accepted or received, RFC 3339.
    """

    target: str
    document: Document
    ahead: tuple[Ahead, ...] = ()
    at: str = ""
    format: int = FORMAT

    @property
    def events(self) -> tuple[tuple[Event, int], ...]:
        """What is in force ahead of the log, each with its offset."""
        return tuple((from_json(one.event), one.offset) for one in self.ahead)


@dataclass(frozen=True)
class Stale:
    """Kafka was away at the start: since when this is served, and when the newest of it was accepted (RFC 3339)."""

    since: datetime
    newest: str

    @property
    def view(self) -> Document:
        """The same, as JSON for readiness and `GET /flags`."""
        return {
            "since": self.since.isoformat(),
            "newest": self.newest,
            "why": "Kafka was away when this instance started",
        }


class LastGood:
    """A folder with a file for each flag: a change writes one small file, and a broken file costs one flag."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._digests: dict[str, str] = {}

    @property
    def targets(self) -> frozenset[str]:
        """Targets of the flags that are known to be on disk."""
        # Copied first: the writer adds to it in a thread.
        return frozenset(list(self._digests))

    def load(self) -> dict[str, SavedFlag]:
        """Return every flag that can be read, by target; the rest is named in the service's log and left out."""
        found: dict[str, SavedFlag] = {}
        try:
            paths = sorted(self._folder.glob(f"*{_SUFFIX}"))
        except OSError as error:
            log.warning("the last good flags cannot be read: %s", error)
            return {}
        for path in paths:
            try:
                saved = _decoded(path.read_bytes())
            except (OSError, ValueError, RecursionError, InvalidError) as error:
                log.warning("%s is no last good flag and is ignored: %s", path, error)
                continue
            found[saved.target] = saved
            self._digests[saved.target] = _digest(saved)
        return found

    def write(self, flags: Iterable[SavedFlag]) -> None:
        """Replace the files of these flags; they are on the disk when the call returns. Equal ones are not written.

        Raises:
            OSError: the disk refuses them; each file is whole, old or new.
        """
        changed = [(saved, digest) for saved in flags if self._digests.get(saved.target) != (digest := _digest(saved))]
        if not changed:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        for saved, _ in changed:
            _replace(self._path(saved.target), _encoded(saved))
        _sync_folder(self._folder)
        self._digests.update({saved.target: digest for saved, digest in changed})

    def forget(self, targets: Iterable[str]) -> None:
        """Remove the files of these flags."""
        for target in targets:
            self._path(target).unlink(missing_ok=True)
            self._digests.pop(target, None)

    def _path(self, target: str) -> Path:
        # File systems that ignore case would lose one of two flags under their own names.
        return self._folder / (hashlib.sha256(target.encode()).hexdigest()[:40] + _SUFFIX)


def saved_flag(target: str, document: Document, ahead: Iterable[tuple[Event, int]], at: str) -> SavedFlag:
    """Return what is saved of a flag. Its history is not: going back to a version needs the log anyway."""
    rest = {name: value for name, value in document.items() if name != "history"}
    return SavedFlag(target, rest, tuple(Ahead(to_json(event), offset) for event, offset in ahead), at)


def _digest(saved: SavedFlag) -> str:
    return hashlib.sha256(msgspec.json.encode((saved.document, saved.ahead), order="sorted")).hexdigest()


def _encoded(saved: SavedFlag) -> bytes:
    body = msgspec.json.encode(saved)
    return hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def _decoded(raw: bytes) -> SavedFlag:
    """Return the flag of a file.

    Raises:
        ValueError: it is cut short, damaged, or of another format; InvalidError: an event in it cannot be read.
    """
    checksum, _, body = raw.partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != checksum:
        raise ValueError("it is cut short or damaged")
    saved = msgspec.json.decode(body, type=SavedFlag)
    if saved.format != FORMAT:
        raise ValueError(f"its format is {saved.format}, not {FORMAT}")
    parse_target(saved.target)
    _ = saved.events
    return saved


def _replace(path: Path, content: bytes) -> None:
    aside = path.with_suffix(".new")
    with aside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
