"""Low-water marks: every event below one has a first outcome on record, or nobody to deliver it to."""

from collections import Counter

from services.notification.job import Position

Place = tuple[str, int]
"""Topic and partition."""


class LowWaterMarks:
    """Low-water marks; what was read above them is read again after a crash."""

    def __init__(self, starts: dict[Place, int]) -> None:
        self._next = dict(starts)
        self._open: dict[Place, Counter[int]] = {}

    def advance(self, position: Position) -> None:
        """Move past an event that was read."""
        self._next[(position.topic, position.partition)] = position.offset + 1

    def open(self, position: Position) -> None:
        """Keep the mark at an event that has to be delivered, once for each subscriber."""
        self._open.setdefault((position.topic, position.partition), Counter())[position.offset] += 1

    def close(self, position: Position) -> None:
        """One of those has a first outcome on record; closing what is not open changes nothing."""
        waiting = self._open.get((position.topic, position.partition))
        if waiting is None or position.offset not in waiting:
            return
        waiting[position.offset] -= 1
        if not waiting[position.offset]:
            del waiting[position.offset]

    def all(self) -> dict[Place, int]:
        """Return the offset to start at after a restart, by partition."""
        return {place: min(self._open.get(place) or (end,)) for place, end in self._next.items()}
