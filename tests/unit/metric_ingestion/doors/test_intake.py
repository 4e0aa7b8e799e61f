"""The intake from Kafka after a pause: partitions are read at different speeds, and windows wait for the slowest."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from penstock.events import Cohort
from penstock.settings import Settings
from services.metric_ingestion.doors.backlog import Backlog
from services.metric_ingestion.doors.frame_publisher import FramePublisher
from services.metric_ingestion.doors.otlp_http import Frames
from services.metric_ingestion.doors.otlp_kafka import Intake
from services.runtime.kafka.appender import Appender
from tests.support.metrics.target import Target, totals


@dataclass
class Record:
    """A record of `otlp_metrics`."""

    partition: int
    offset: int
    timestamp: int
    value: bytes


class Publisher(FramePublisher):
    """Hands frames to a target at once, which decides what is due before the next record."""

    def __init__(self, target: Target) -> None:
        super().__init__(Appender(Settings()))
        self.target = target

    async def publish(self, frames: Frames) -> None:
        for _, frame in frames:
            self.target.state.add_frame(frame)
            self.target.decide()


def backlog(target: Target, partition: int, seconds: Sequence[int]) -> list[Record]:
    exports = [target.requests(second + 0.5, canary=1, instance=f"shop-{partition}") for second in seconds]
    return [
        Record(partition, number, export.time // 1_000_000, export.request().SerializeToString())
        for number, export in enumerate(exports)
    ]


@pytest.mark.parametrize("unread", [(), (0,), (0, 1)])
async def test_a_backlog_of_several_partitions_loses_nothing_however_it_is_polled(unread: tuple[int, ...]) -> None:
    target, left = Target(), set(unread)

    async def commit() -> None:
        return None

    publisher, letters = Publisher(target), Appender(Settings())
    intake = Intake(lambda: target.selector, publisher, letters, lambda: target.at(33), commit, "otlp", lambda: left)
    records = [backlog(target, partition, range(32)) for partition in range(3)]
    if unread:
        # The first poll brings partition 2 whole, and only a little of the others.
        await intake.receive([*records[0][:3], *records[1][:3], *records[2]])
        assert intake.waits()
        left.clear()
        await intake.receive([*records[1][3:], *records[0][3:]])
    else:
        await intake.receive([record for partition in records for record in partition])
    assert not intake.waits()
    target.clock(36)
    assert totals(target.windows[:32], Cohort.CANARY) == [3] * 32
    assert all(window.dropped == {} for window in target.windows)


def test_a_process_that_stood_still_lets_the_clock_wait() -> None:
    now = 0.0
    waiting = [False, False]
    backlog = Backlog([lambda: waiting[0], lambda: waiting[1]], lambda: now)
    assert not backlog.exists()
    now = 0.05
    assert not backlog.exists()
    now = 32.0
    assert backlog.exists()
    now = 32.05
    assert not backlog.exists()
    waiting[1] = True
    assert backlog.exists()
