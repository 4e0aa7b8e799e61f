"""Notices that the wall clock was set or the machine slept: the monotonic clock did not go along."""

from collections.abc import Callable
from datetime import timedelta

from services.runtime.process.service import Clock

TOLERANCE_S = 5.0
"""Seconds between two looks that are no jump; what slews a clock stays far below."""


class JumpWatch:
    """Compares two clocks, look by look."""

    def __init__(self, wall: Clock, monotonic: Callable[[], float]) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._last = (wall(), monotonic())

    def look(self) -> timedelta:
        """Return how far the wall clock has jumped since the last look: forward, backward, or zero."""
        before, self._last = self._last, (self._wall(), self._monotonic())
        jump = self._last[0] - before[0] - timedelta(seconds=self._last[1] - before[1])
        return jump if abs(jump.total_seconds()) > TOLERANCE_S else timedelta()
