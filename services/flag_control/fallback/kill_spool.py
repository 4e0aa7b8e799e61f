"""Kills on their way into the log, on disk before anybody is told that they are in force."""

import os
import threading
from collections.abc import Iterable
from pathlib import Path

import msgspec

from penstock.errors import CorruptError, InvalidError
from penstock.events import KillRequested, from_json, to_json


class Spool:
    """A file of kills, one JSON line each; every change is on the disk when the call returns."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kills: dict[str, KillRequested] = {}
        self._lock = threading.Lock()

    def load(self) -> tuple[KillRequested, ...]:
        """Return the kills that the log may not have yet; half a line at the end was never answered for.

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
            except (msgspec.DecodeError, InvalidError) as error:
                raise CorruptError(f"{self._path} holds a kill that cannot be read: {error}") from None
            if isinstance(kill, KillRequested):
                self._kills[kill.id] = kill
        return tuple(self._kills.values())

    def add(self, kill: KillRequested) -> None:
        """Keep a kill."""
        with self._lock:
            self._kills[kill.id] = kill
            self._write()

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
