"""The cache folder that every checkout and the tests share: jars and start caches, never data."""

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from penstock.errors import UnavailableError


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Return `~/.cache/penstock`, or the one below XDG_CACHE_HOME."""
    base = environment.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "penstock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, so that two first starts do not download the same at once.

    Raises:
        UnavailableError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("ab")
    except OSError as error:
        raise UnavailableError(
            f"the cache folder {folder} cannot be written ({error.strerror}); "
            "make it writable, or set XDG_CACHE_HOME to a folder that is"
        ) from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
