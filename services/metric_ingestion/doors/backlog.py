"""Detects samples that wait unread: while there are any, the clock closes no window, because they may belong to it."""

from collections.abc import Callable

_STALLED_S = 1.0


class Backlog:
    """Asks every place where samples can wait; also detects that this process itself was suspended.

    Args:
        waiting: each returns whether samples wait there; monotonic: seconds.
    """

    def __init__(self, waiting: list[Callable[[], bool]], monotonic: Callable[[], float]) -> None:
        self._waiting = waiting
        self._monotonic = monotonic
        self._asked: float | None = None

    def exists(self) -> bool:
        """Return whether samples may wait; asked at every tick, so that a long gap means that we were stopped."""
        now, asked = self._monotonic(), self._asked
        self._asked = now
        stalled = asked is not None and now - asked > _STALLED_S
        # All are asked, because some reset when they report.
        reported = [waits() for waits in self._waiting]
        return stalled or any(reported)
