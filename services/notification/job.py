"""One event to deliver to one subscriber, and the position of that event."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from penstock.events import DeliveryFailed
from services.notification.recorded import Deliverable

Key = tuple[str, str]
"""Subscriber's name and event's id: delivered once, however often the event is read."""


@dataclass(frozen=True)
class Position:
    """The position of an event on its public topic."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}:{self.partition}:{self.offset}"


def parse_position(text: str) -> Position:
    """Return the position of `topic:partition:offset`."""
    topic, partition, offset = text.rsplit(":", 2)
    return Position(topic, int(partition), int(offset))


@dataclass(frozen=True)
class Job:
    """A delivery to attempt.

    Attributes:
        event: the event itself for the first attempt; later ones read it again at its position, for a dead subscriber
            with three days of retries must not fill the memory.
        attempt: number of the next attempt, from 1; due: when.
        trace: W3C trace context of the event.
    """

    key: Key
    event_type: str
    target: str
    rollout: str | None
    position: Position
    attempt: int
    due: datetime
    event: Deliverable | None = None
    trace: tuple[tuple[str, str], ...] = ()

    def after(self, failed: DeliveryFailed) -> "Job":
        """Return the job of the next attempt."""
        pause = timedelta(seconds=failed.next_in_seconds or 0)
        return replace(self, attempt=failed.attempt + 1, due=failed.time + pause, event=None)


def job_of(failed: DeliveryFailed) -> Job | None:
    """Return what a failed delivery's record leaves to do, None where nothing is."""
    if failed.next_in_seconds is None or failed.position is None:
        return None
    return Job(
        key=(failed.subscriber, failed.event),
        event_type=failed.event_type,
        target=failed.target,
        rollout=failed.rollout,
        position=parse_position(failed.position),
        attempt=failed.attempt + 1,
        due=failed.time + timedelta(seconds=failed.next_in_seconds),
    )
