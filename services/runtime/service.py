"""What `python -m services` needs of a service."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

Clock = Callable[[], datetime]
"""Returns the present time in UTC; an argument everywhere, so that tests own it."""


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


def system_clock() -> datetime:
    """Return the machine's time in UTC."""
    return datetime.now(UTC)  # noqa: TID251 - the one clock, handed in by the process's entry point
