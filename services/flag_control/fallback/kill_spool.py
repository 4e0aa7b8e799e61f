"""Keeps on disk the kills that the flag log may not have yet, before anyone is answered that they are in force."""

import asyncio
import logging
import os
import threading
from collections.abc import Iterable
from pathlib import Path

import msgspec

from penstock.errors import CorruptError, InvalidError
from penstock.events import KillRequested, from_json, to_json
from services.flag_control.fallback.last_good import SavedFlag
from services.flag_control.flag.state import load
from services.runtime.process.tasks import begin

_DISK_SECONDS = 2.0

log = logging.getLogger(__name__)


class KillSpool:
    """A file of kills, one JSON line each; every change is on the disk when the call returns."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kills: dict[str, KillRequested] = {}
        self._lock = threading.Lock()

    def load(self) -> tuple[KillRequested, ...]:
        """Return the kills that the log may not have yet; half a line at the end was never acknowledged.

        Raises:
            CorruptError: a whole line cannot be read: a kill might be lost.
        """
        try:
            lines = self._path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return ()
        for line in filter(None, lines[:-1]):
            try:
                kill = from_json(msgspec.json.decode(line))
            except (msgspec.DecodeError, RecursionError, InvalidError) as error:
                raise CorruptError(f"{self._path} holds a kill that cannot be read: {error}") from None
            if isinstance(kill, KillRequested):
                self._kills[kill.id] = kill
        return tuple(self._kills.values())

    def add(self, kill: KillRequested) -> None:
        """Keep a kill."""
        with self._lock:
            self._kills[kill.id] = kill
            self._write()

    async def keep(self, kill: KillRequested) -> bool:
        """Put a kill on disk; return False where the disk refuses it or is too slow: it is in force anyway."""
        writing = begin(asyncio.to_thread(self.add, kill))
        try:
            await asyncio.wait_for(asyncio.shield(writing), _DISK_SECONDS)
        except (OSError, TimeoutError) as error:
            writing.add_done_callback(lambda done: done.exception())
            why = error or f"the disk takes more than {_DISK_SECONDS:.0f} s"
            log.error("kill %s of %s is in force, but not on disk: %s", kill.id, kill.target, why)
            return False
        return True

    def forget_recorded(self, flags: Iterable[SavedFlag]) -> None:
        """Forget the kills that the accepted state of these flags holds, which is on disk.

        Not before: an instance that starts without Kafka would serve the flag as it was, and know of no kill.
        """
        for flag in flags:
            self.remove(load(flag.document).decided_requests)

    def remove(self, kills: Iterable[str]) -> None:
        """Forget kills that the log has."""
        if not self._kills:
            return
        with self._lock:
            known = [kill for kill in kills if kill in self._kills]
            for kill in known:
                del self._kills[kill]
            if known:
                self._write()

    def _write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        aside = self._path.with_suffix(".new")
        with aside.open("wb") as file:
            for kill in self._kills.values():
                file.write(msgspec.json.encode(to_json(kill)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        aside.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
