"""What an instance says of who was sent what: complete when everybody was, partial after a second, never a guess."""

import asyncio
import time

import pytest

from penstock.events import FlagServed
from services.flag_control import reports as module
from services.flag_control.exposure import flag_document
from services.flag_control.reports import Reports
from services.flag_control.source import Source
from services.flag_control.state import FlagState
from services.flag_control.store import FlagSet, FlagStore
from services.flag_control.sync import Stream, Streams
from services.runtime.service import system_clock

TARGET = "production/shop/banner"


def at(version: int) -> tuple[FlagState, FlagSet]:
    state = FlagState(version=version, revision=f"r{version}")
    store = FlagStore()
    store.publish(Source("production/shop", {"banner": flag_document(TARGET, state)}, {}))
    found = store.get()
    assert found is not None
    return state, found


class World:
    def __init__(self, *sent: FlagSet | None) -> None:
        self.streams = Streams()
        self.clients = [Stream("flagSetId=production/shop", sent=one) for one in sent]
        self.streams.connected.update(self.clients)
        self.said: list[FlagServed] = []
        self.reports = Reports("one", self.streams, self.said.append, system_clock)

    def send(self, client: int, flag_set: FlagSet) -> None:
        self.clients[client].sent, self.clients[client].at = flag_set, time.monotonic()
        self.streams.on_change()

    async def counts(self) -> list[tuple[int, int, int]]:
        await asyncio.sleep(0.02)
        return [(one.version, one.served, one.streams) for one in self.said]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PARTIAL_AFTER_SECONDS", 0.2)


async def test_without_streams_it_is_said_at_once() -> None:
    world = World()
    world.reports.changed(TARGET, at(2)[0], "cause", time.monotonic())
    assert await world.counts() == [(2, 0, 0)]
    assert world.said[0].cause == "cause"


async def test_it_is_said_once_every_stream_was_sent_it_and_not_before() -> None:
    (_, old), (state, new) = at(1), at(2)
    world = World(old, old)
    world.reports.changed(TARGET, state, "cause", time.monotonic())
    world.send(0, new)
    assert await world.counts() == []
    world.send(1, new)
    assert await world.counts() == [(2, 2, 2)]
    assert (world.said[0].elapsed_ms or 0) > 0


async def test_a_stream_that_lags_is_told_of_after_a_while_and_again_when_it_has_it() -> None:
    (_, old), (state, new) = at(1), at(2)
    world = World(old, new)
    world.reports.changed(TARGET, state, "cause", time.monotonic())
    await asyncio.sleep(0.3)
    assert await world.counts() == [(2, 1, 2)]
    world.send(0, new)
    assert await world.counts() == [(2, 1, 2), (2, 2, 2)]
    assert len({one.id for one in world.said}) == 2


async def test_a_stream_that_leaves_is_no_longer_waited_for() -> None:
    (_, old), (state, new) = at(1), at(2)
    world = World(old, new)
    world.reports.changed(TARGET, state, "cause", time.monotonic())
    world.streams.connected.discard(world.clients[0])
    world.streams.on_change()
    assert await world.counts() == [(2, 1, 1)]


async def test_a_newer_version_takes_the_place_of_one_under_way() -> None:
    (_, old), (second, _), (third, newest) = at(1), at(2), at(3)
    world = World(old)
    world.reports.changed(TARGET, second, "two", time.monotonic())
    world.reports.changed(TARGET, third, "three", time.monotonic())
    world.send(0, newest)
    assert await world.counts() == [(3, 1, 1)]


async def test_streams_of_other_sets_do_not_count() -> None:
    state, _ = at(2)
    world = World(None)
    world.clients[0].selector = "flagSetId=production/other"
    world.reports.changed(TARGET, state, "cause", time.monotonic())
    assert await world.counts() == [(2, 0, 0)]
