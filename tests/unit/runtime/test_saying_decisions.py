"""What says decisions in public: a record that it cannot read, brokers that refuse, and a bug."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from aiokafka.structs import RecordMetadata

from penstock.chain import Accepted, Record, encode
from penstock.errors import AppendError, OversizeError
from penstock.events import HoldRequested, to_json
from penstock.settings import Settings
from penstock.topics import log_of
from services.runtime.kafka import republisher
from services.runtime.kafka.appender import Appender
from services.runtime.kafka.republisher import Republisher
from tests.support.metrics.windows import moment


class Brokers(Appender):
    """Takes records, or refuses the first ones with an error."""

    def __init__(self, settings: Settings, *refusals: Exception) -> None:
        super().__init__(settings)
        self.refusals, self.taken = list(refusals), list[tuple[str, bytes, dict[str, bytes]]]()

    async def append(
        self,
        topic: str,
        partition: int | None,
        key: bytes | None,
        value: bytes,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> "asyncio.Future[RecordMetadata]":
        if self.refusals:
            raise self.refusals.pop(0)
        self.taken.append((topic, value, dict(headers)))
        future: asyncio.Future[RecordMetadata] = asyncio.get_running_loop().create_future()
        future.set_result(None)  # type: ignore[arg-type]
        return future


@asynccontextmanager
async def saying(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *refusals: Exception
) -> AsyncIterator[tuple[Republisher, Brokers]]:
    async def nowhere(*_: object) -> None:
        return

    monkeypatch.setattr(Republisher, "_find_positions", nowhere)
    monkeypatch.setattr(republisher, "_AFTER_ERROR_S", 0)
    settings = Settings(state=tmp_path)
    brokers = Brokers(settings, *refusals)
    lanes = Republisher(settings, brokers, log_of("rollout_control"))
    await lanes.start()
    yield lanes, brokers
    await lanes.stop()


def accepted(*kinds: str) -> Accepted:
    hold = HoldRequested(id="1", source="/t", target="test/one/flag", time=moment(1), actor="bob", reason="because")
    record = Record("", {}, hold.target, events=tuple({**to_json(hold), "type": kind} for kind in kinds))
    return Accepted(7, "digest", hold.target, record, encode(record))


async def settle(lanes: Republisher) -> None:
    for _ in range(1000):
        await asyncio.sleep(0)
        if lanes.idle(0) or not lanes.alive():
            return


async def test_a_decision_of_an_unknown_type_is_dead_lettered_and_the_one_behind_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with saying(tmp_path, monkeypatch) as (lanes, brokers):
        lanes.offer(0, accepted("hold.reconsidered", "hold.requested"), {})
        await settle(lanes)
        assert lanes.alive()
    assert [topic for topic, _, _ in brokers.taken] == ["dead-letters", "commands"]
    headers = brokers.taken[0][2]
    assert (headers["origin-topic"], headers["origin-offset"]) == (b"rollout-log", b"7")
    assert b"hold.reconsidered" in headers["reason"]


async def test_a_decision_that_is_too_large_to_be_said_is_named_among_the_dead_letters_and_the_next_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with saying(tmp_path, monkeypatch, OversizeError("record for commands", [])) as (lanes, brokers):
        lanes.offer(0, accepted("hold.requested"), {})
        lanes.offer(0, replace(accepted("hold.requested"), offset=8), {})
        await settle(lanes)
        assert lanes.alive()
    assert [topic for topic, _, _ in brokers.taken] == ["dead-letters", "commands"]
    assert b"record for commands" in brokers.taken[0][2]["reason"]


async def test_a_lane_that_is_refused_again_and_again_shows_in_the_log_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    refusals = [AppendError("away")] * 61
    async with saying(tmp_path, monkeypatch, *refusals) as (lanes, brokers):
        lanes.offer(0, accepted("hold.requested"), {})
        await settle(lanes)
        assert lanes.alive()
    assert [topic for topic, _, _ in brokers.taken] == ["commands"]
    told = [(record.levelno, record.message) for record in caplog.records]
    assert [level for level, _ in told] == [logging.WARNING, logging.ERROR, logging.ERROR]
    assert "rollout-log-0-7" in told[-1][1]
    assert "tried 61 times" in told[-1][1]


async def test_a_lane_that_fails_makes_its_service_not_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with saying(tmp_path, monkeypatch, KeyError("a bug")) as (lanes, _):
        lanes.offer(0, accepted("hold.requested"), {})
        await settle(lanes)
        assert not lanes.alive()
