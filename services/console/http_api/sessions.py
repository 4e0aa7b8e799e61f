"""Sessions that were signed out before they expired, kept on disk: a copied cookie ends with the session."""

import logging
import os
from pathlib import Path

_OWN = 0o600

log = logging.getLogger(__name__)


class EndedSessions:
    """The names of ended sessions, with the time at which they would have expired.

    Args:
        path: of the file that consoles with the same state folder share; None keeps them in memory only.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._ended: dict[str, int] = {}
        self._read = 0

    def __contains__(self, name: str) -> bool:
        self._follow()
        return name in self._ended

    def add(self, name: str, expires: int, now: float) -> None:
        """End a session that would have lived until `expires` (Unix seconds); forget those that have expired."""
        self._ended = {known: until for known, until in self._ended.items() if until > now} | {name: expires}
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # Appended in one write: another console may append at the same time.
            with os.fdopen(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, _OWN), "a") as file:
                file.write(f"{name} {expires}\n")
        except OSError as error:
            log.error("an ended session could not be kept: a restart of the console would revive it: %s", error)

    def _follow(self) -> None:
        if self._path is None:
            return
        try:
            size = self._path.stat().st_size
            if size == self._read:
                return
            lines = self._path.read_text().splitlines()
        except OSError:
            return
        self._read = size
        for line in lines:
            name, _, expires = line.partition(" ")
            if expires.isdigit():
                self._ended[name] = int(expires)
