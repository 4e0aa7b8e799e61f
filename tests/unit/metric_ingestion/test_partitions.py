"""The partitions of metric ingestion: closing by the clock waits for samples at the doors, and a stop ends in order."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from penstock.chain import Fold
from penstock.errors import AppendError, UnavailableError
from penstock.settings import Settings
from penstock.topics import log_of
from services.metric_ingestion.doors import frame_publisher
from services.metric_ingestion.doors.frame_publisher import FramePublisher
from services.metric_ingestion.partitions import partitions as partitions_module
from services.metric_ingestion.partitions.owner import Owner
from services.metric_ingestion.partitions.partitions import Partitions
from services.metric_ingestion.windows.frames import Explicits, Exponentials, Frame, Numbers
from services.runtime.kafka.appender import Appender
from services.runtime.kafka.republisher import Republisher
from tests.support.plans import TARGET


def partitions_of(tmp_path: Path, struggles: Callable[[], bool] = lambda: False) -> Partitions:
    settings = Settings(state=tmp_path, lateness=0.05)
    appender = Appender(settings)
    republisher = Republisher(settings, appender, log_of("metric_ingestion"))
    return Partitions(settings, "cluster", appender, republisher, lambda _: {}, lambda _: None, struggles)


class Overdue(Owner):
    """Has a window that the clock would close."""

    def overdue(self, lateness: int, now: int) -> bool:
        return True


class Doors(Appender):
    """Takes a frame when it is told to."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.answer: asyncio.Future[Any] | AppendError = AppendError("the producer is being replaced")

    async def append(
        self,
        topic: str,
        partition: int | None,
        key: bytes | None,
        value: bytes,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> "asyncio.Future[Any]":
        if isinstance(self.answer, AppendError):
            raise self.answer
        return self.answer


async def test_a_partition_that_is_restored_during_the_stop_does_not_break_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    partitions = partitions_of(tmp_path)
    kept: list[int] = []

    async def keep(partition: int, _: Any) -> None:
        kept.append(partition)
        partitions._owners[partition + 10] = Owner(Fold("head"), "code")

    monkeypatch.setattr(partitions._snapshots, "write", keep)
    partitions._owners = {number: Owner(Fold("head"), "code") for number in range(2)}
    await partitions.stop()
    assert kept == [0, 1]


async def test_an_error_that_nobody_foresaw_while_a_partition_is_restored_makes_ingestion_not_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def of_another_shape(*_: Any) -> None:
        msgspec.json.decode(b"[]", type=dict)

    monkeypatch.setattr(partitions_module, "restore_owners", of_another_shape)
    partitions = partitions_of(tmp_path)
    partitions.assign({3})
    assert partitions.alive()
    await asyncio.sleep(0.01)
    assert not partitions.alive(), "its windows would never close, and nothing would restart it"
    assert "ValidationError" in caplog.text
    assert not partitions.ready()


async def test_the_clock_closes_nothing_while_samples_wait_at_the_doors_nor_right_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting, closings = [True], []
    partitions = partitions_of(tmp_path, lambda: waiting[0])
    partitions._owners = {0: Overdue(Fold("head"), "code")}

    async def close(due: Mapping[int, Owner], now: int) -> None:
        closings.append(now)
        partitions._confirming = False

    monkeypatch.setattr(partitions, "_close_by_clock", close)
    monkeypatch.setattr(partitions, "_snapshot_is_due", lambda partition, owner: False)

    async def tick(now: int) -> list[int]:
        partitions.tick(now, lambda partition: ())
        await asyncio.sleep(0)
        return closings

    assert await tick(1) == []
    waiting[0] = False
    assert await tick(2) == [], "what was refused is sent again a little later"
    await asyncio.sleep(0.06)
    assert await tick(3) == [3]


async def test_frames_that_kafka_refuses_or_lets_wait_are_told_until_they_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame_publisher, "_SLOW_S", 0.01)
    doors = Doors(Settings(state=tmp_path))
    publisher = FramePublisher(doors)
    frames = [(TARGET, Frame(1, 0, 1, "", "", (), (), Numbers(), Explicits(), Exponentials()))]
    with pytest.raises(UnavailableError):
        await publisher.publish(frames)
    assert [publisher.struggles(), publisher.struggles()] == [True, False]
    doors.answer = asyncio.get_running_loop().create_future()
    publish = asyncio.create_task(publisher.publish(frames))
    await asyncio.sleep(0.02)
    assert publisher.struggles()
    doors.answer.set_result(None)
    await publish
    assert not publisher.struggles()
