"""Whether samples wait that nobody has read yet: then the clock closes no window, for it may be theirs."""

from collections.abc import Callable

_STALLED_S = 1.0


class Backlog:
    """Asks every place where samples can wait; also recognises that this process itself has stood still.

    Args:
        waiting: each says whether samples wait with it. monotonic: seconds.
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
        # All are asked, for some forget what they have reported.
        reported = [waits() for waits in self._waiting]
        return stalled or any(reported)
