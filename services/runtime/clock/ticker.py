"""Which timers fire: due by a clock that has not jumped, and not ahead of inputs that stand unread."""

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from math import inf

from aiokafka import TopicPartition

from penstock.chain import Document
from penstock.events import TimerFired
from penstock.topics import PARTITIONS
from services.runtime.clock.jumps import JumpWatch
from services.runtime.clock.timers import Timers
from services.runtime.clock.watermark import Sight, Watermark
from services.runtime.process.service import Clock


class Ticker:
    """The timers of all partitions of a decider.

    Args:
        source: of the events; wall: tells when a timer is due; monotonic: seconds.
    """

    def __init__(self, source: str, wall: Clock, monotonic: Callable[[], float]) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._jumps = JumpWatch(wall, monotonic)
        self._timers = [Timers(source) for _ in range(PARTITIONS)]
        self._watermarks: dict[int, Watermark] = {}
        self._places: dict[int, tuple[TopicPartition, ...]] = {}
        self._behind: set[int] = set()

    def follow(self, partition: int, own: TopicPartition, ends: Mapping[TopicPartition, int], asked: float) -> None:
        """Begin with a partition: where its own log and its inputs ended when that was asked (monotonic seconds)."""
        self._watermarks[partition] = Watermark(own, ends, asked)
        self._places[partition] = tuple(ends)
        self._behind.add(partition)

    def note(self, partition: int, target: str, document: Document) -> None:
        """Take a target's state as folded."""
        self._timers[partition].note(target, document)

    def look(self) -> timedelta:
        """Compare the clocks and let the timers wait for as long as they had left; return the jump, zero for none."""
        jump = self._jumps.look()
        if jump:
            for timers in self._timers:
                timers.rearm(jump)
        return jump

    def caught_up(self, sight: Callable[[TopicPartition], Sight]) -> bool:
        """Return whether everything has been read that stood in the inputs at the start."""
        for partition in list(self._behind):
            if self._watermarks[partition].look({p: sight(p) for p in self._places[partition]}) > -inf:
                self._behind.discard(partition)
        return not self._behind

    def due(self, partition: int, sight: Callable[[TopicPartition], Sight]) -> Iterator[TimerFired]:
        """Yield the timers of a partition that were due by the moment up to which its inputs are read."""
        timers, now = self._timers[partition], self._wall()
        if not timers.waits(now):
            return
        reached = self._watermarks[partition].look({place: sight(place) for place in self._places[partition]})
        if reached > -inf:
            yield from timers.due(now - timedelta(seconds=max(0.0, self._monotonic() - reached)))
