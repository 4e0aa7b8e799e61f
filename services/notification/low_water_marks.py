"""How far each partition is dealt with: every event below the mark has a first outcome on record, or nobody to tell."""

from collections import Counter

from services.notification.job import Position

Place = tuple[str, int]
"""Topic and partition."""


class Marks:
    """Low-water marks; what was heard above them is heard again after a crash."""

    def __init__(self, starts: dict[Place, int]) -> None:
        self._next = dict(starts)
        self._open: dict[Place, Counter[int]] = {}

    def hear(self, position: Position) -> None:
        """An event was heard."""
        self._next[(position.topic, position.partition)] = position.offset + 1

    def open(self, position: Position) -> None:
        """Somebody is to be told of the event there."""
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
        """Return the offset to begin at after a restart, by partition."""
        return {place: min(self._open.get(place) or (end,)) for place, end in self._next.items()}
