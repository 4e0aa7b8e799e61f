"""A stop while a partition is being restored keeps what there is, and ends in order."""

from pathlib import Path
from typing import Any

import pytest

from penstock.chain import Fold
from penstock.settings import Settings
from penstock.topics import log_of
from services.metric_ingestion.owner import Owner
from services.metric_ingestion.partitions import Partitions
from services.runtime.appender import Appender
from services.runtime.republisher import Republisher


async def test_a_partition_that_is_restored_during_the_stop_does_not_break_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(state=tmp_path)
    appender = Appender(settings)
    republisher = Republisher(settings, appender, log_of("metric_ingestion"))
    partitions = Partitions(settings, "cluster", appender, republisher, lambda _: {}, lambda _: None)
    kept: list[int] = []

    async def keep(partition: int, _: Any) -> None:
        kept.append(partition)
        partitions._owners[partition + 10] = Owner(Fold("head"), "code")

    monkeypatch.setattr(partitions._keeper, "keep", keep)
    partitions._owners = {number: Owner(Fold("head"), "code") for number in range(2)}
    await partitions.stop()
    assert kept == [0, 1]
