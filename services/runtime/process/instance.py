"""One process a name: what a copy keeps under its name (spooled kills, membership, claimed steps) has one owner."""

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from penstock.errors import UnavailableError
from penstock.settings import Settings


def instance_folder(settings: Settings, service: str) -> Path:
    """Return where a copy of a service keeps what is its own."""
    return settings.state / service / settings.instance


@contextmanager
def held(settings: Settings, services: Iterable[str]) -> Iterator[None]:
    """Hold the folders of these services' copies while the context lasts; a killed process lets go of them, too.

    Raises:
        UnavailableError: another process holds one of them, or it cannot be written.
    """
    with ExitStack() as stack:
        for service in services:
            stack.enter_context(_held(settings, service))
        yield


@contextmanager
def _held(settings: Settings, service: str) -> Iterator[None]:
    folder = instance_folder(settings, service)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("a+")
    except OSError as error:
        raise UnavailableError(
            f"{service} cannot write its folder {folder.absolute()} ({error.strerror}); set PENSTOCK_STATE to one that "
            "can be written and outlives the process"
        ) from None
    with lock:
        if not _lock(lock.fileno()):
            lock.seek(0)
            raise UnavailableError(
                f"another {service} called {settings.instance!r} (process {lock.read().strip() or 'unknown'}) runs on "
                f"{settings.state.absolute()}: give each copy a name of its own by PENSTOCK_INSTANCE, or a folder of "
                "its own by PENSTOCK_STATE"
            )
        with suppress(OSError):  # The lock holds without, as on a full disk.
            os.truncate(lock.fileno(), 0)
            os.write(lock.fileno(), str(os.getpid()).encode())
        yield


def _lock(file: int) -> bool:
    """Return whether the lock is ours now."""
    try:
        import fcntl
    except ImportError:
        return True  # Windows: there only the names tell copies apart.
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
