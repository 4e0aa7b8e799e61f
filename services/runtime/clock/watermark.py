"""Up to which moment everything in a partition's inputs is known to have been read: timers may fire up to there.

A timer must not overtake the input that would have cancelled it and stands unread: after a restart, after an outage of
the brokers, or under load.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf

from aiokafka import TopicPartition

PATIENCE_S = 30.0
"""Seconds that an input may be out of reach before timers go on without it: they move towards safety, and an input
that cannot be read is what deadlines are for."""

_GAP_S = 3.0


@dataclass(frozen=True)
class Sight:
    """What is known of one input.

    Attributes:
        position: offset that is read next; end: offset that will be written next, when it was last asked.
        seen: when that was, in seconds of the monotonic clock; -inf for never.
    """

    position: int
    end: int
    seen: float


class Watermark:
    """One partition's.

    Args:
        own: the decider's own log; nothing can be recorded while it is out of reach.
        ends: of every input and the own log at the start; now: when they were asked, monotonic seconds.

    Attributes:
        reached: everything written before this moment has been read; monotonic seconds, -inf before the first time.
    """

    def __init__(self, own: TopicPartition, ends: Mapping[TopicPartition, int], now: float) -> None:
        self._own = own
        self._goal = dict(ends)
        self._goal_at = now
        self._own_seen = self._own_since = -inf
        self.reached = -inf

    def look(self, sights: Mapping[TopicPartition, Sight]) -> float:
        """Take what is known of every input now; return `reached`."""
        lost_before = self._lost_before(sights[self._own].seen)
        if self._met(sights, lost_before):
            self.reached = self._goal_at
            seen = min(max(sight.seen, lost_before) for sight in sights.values())
            if seen > self._goal_at:
                self._goal, self._goal_at = {place: sight.end for place, sight in sights.items()}, seen
                if self._met(sights, lost_before):
                    self.reached = seen
        return self.reached

    def _met(self, sights: Mapping[TopicPartition, Sight], lost_before: float) -> bool:
        return all(
            sights[place].position >= end or sights[place].seen < lost_before for place, end in self._goal.items()
        )

    def _lost_before(self, own_seen: float) -> float:
        # Counted only while the own log is in reach: after an outage of all, every input gets its time to be read.
        if own_seen > self._own_seen + _GAP_S:
            self._own_since = own_seen
        self._own_seen = own_seen
        return own_seen - PATIENCE_S if own_seen - self._own_since >= PATIENCE_S else -inf
