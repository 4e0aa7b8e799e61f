"""What `python -m services` needs of a service."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol, runtime_checkable

Clock = Callable[[], datetime]
"""Returns the present time in UTC; an argument everywhere, so that tests own it."""


@dataclass(frozen=True)
class Parked:
    """A target that is held back because this version cannot read a record of it.

    Attributes:
        log: name in the table of the log that holds the record; offset: where it stands there.
    """

    target: str
    log: str
    offset: int


class Service(Protocol):
    """A running service."""

    name: str

    async def start(self) -> None:
        """Connect, restore, and begin; returns when it is ready to serve."""

    async def stop(self) -> None:
        """Finish what is in hand and disconnect."""

    def ready(self) -> bool:
        """Whether it has caught up with what stood in its inputs at the start."""
        ...

    def alive(self) -> bool:
        """Whether its loops move; a service that is not alive must be restarted."""
        ...


@runtime_checkable
class Decider(Service, Protocol):
    """A service that decides in a log of its own."""

    def parked(self) -> Iterable[Parked]:
        """Return the targets that are held back."""
        ...


def system_clock() -> datetime:
    """Return the machine's time in UTC."""
    return datetime.now(UTC)  # noqa: TID251 - the one clock, handed in by the process's entry point
