"""Counts of evaluations by flag: exact for OFREP; what in-process clients evaluate is unknown to any server."""

from collections import Counter
from collections.abc import Callable, Collection


class Usage:
    """Evaluations since the start of this instance, and when each flag was last evaluated.

    Attributes:
        evaluations: by name, `flagSetId/key` where the flag has a set.
        last: time of the newest evaluation by name, in seconds of the clock.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.evaluations: Counter[str] = Counter()
        self.last: dict[str, float] = {}

    def one(self, key: str) -> None:
        """Count one evaluation."""
        self.evaluations[key] += 1
        self.last[key] = self._clock()

    def many(self, keys: Collection[str]) -> None:
        """Count one evaluation of each."""
        self.evaluations.update(keys)
        self.last.update(dict.fromkeys(keys, self._clock()))
