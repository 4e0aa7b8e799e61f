"""What an instance says of who was sent what: complete when everybody was, partial after a second, never a guess."""

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta

import pytest

from penstock.events import FlagServed
from services.flag_control import served_reports as module
from services.flag_control.evaluation.source import Source
from services.flag_control.flag.exposure import flag_document
from services.flag_control.flag.state import FlagState, Revision
from services.flag_control.served_reports import ServedReports
from services.flag_control.serving.store import FlagSet, FlagStore
from services.flag_control.serving.streams import Signal, Stream, Streams
from services.runtime.process.service import system_clock

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
        self.moved = Signal()
        self.streams = Streams(self.moved)
        self.on_disk: Callable[[str], bool] = lambda _: True
        self.clients = [Stream("flagSetId=production/shop", sent=one) for one in sent]
        self.streams.connected.update(self.clients)
        self.reported: list[FlagServed] = []
        self.reports = ServedReports(
            "one", self.streams, lambda target: self.on_disk(target), self.moved, self.reported.append, system_clock
        )

    def send(self, client: int, flag_set: FlagSet) -> None:
        self.clients[client].sent, self.clients[client].at = flag_set, time.monotonic()
        self.moved.send()

    async def counts(self) -> list[tuple[int, int, int]]:
        await asyncio.sleep(0.02)
        return [(one.version, one.served, one.streams) for one in self.reported]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PARTIAL_AFTER_SECONDS", 0.2)


async def test_without_streams_it_is_said_at_once() -> None:
    world = World()
    world.reports.changed(TARGET, at(2)[0], "cause", time.monotonic())
    assert await world.counts() == [(2, 0, 0)]
    assert world.reported[0].cause == "cause"


async def test_it_is_said_once_every_stream_was_sent_it_and_not_before() -> None:
    (_, old), (state, new) = at(1), at(2)
    world = World(old, old)
    world.reports.changed(TARGET, state, "cause", time.monotonic())
    world.send(0, new)
    assert await world.counts() == []
    world.send(1, new)
    assert await world.counts() == [(2, 2, 2)]
    assert (world.reported[0].elapsed_ms or 0) > 0


async def test_nothing_is_said_of_a_version_that_a_crash_could_still_forget_and_all_of_it_once_it_is_on_disk() -> None:
    state, new = at(2)
    world, on_disk = World(new), [False]
    world.on_disk = lambda target: target == TARGET and on_disk[0]
    world.reports.changed(TARGET, state, "cause", time.monotonic())
    await asyncio.sleep(0.5)
    assert await world.counts() == [], "not as complete, nor as partial"
    on_disk[0] = True
    world.moved.send()
    assert await world.counts() == [(2, 1, 1)]


async def test_a_stream_that_lags_is_told_of_after_a_while_and_again_when_it_has_it() -> None:
    (_, old), (state, new) = at(1), at(2)
    world = World(old, new)
    world.reports.changed(TARGET, state, "cause", time.monotonic())
    await asyncio.sleep(0.3)
    assert await world.counts() == [(2, 1, 2)]
    world.send(0, new)
    assert await world.counts() == [(2, 1, 2), (2, 2, 2)]
    assert len({one.id for one in world.reported}) == 2


async def test_a_stream_that_leaves_is_no_longer_waited_for() -> None:
    (_, old), (state, new) = at(1), at(2)
    world = World(old, new)
    world.reports.changed(TARGET, state, "cause", time.monotonic())
    world.streams.connected.discard(world.clients[0])
    world.moved.send()
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


NOW = system_clock()


def changed(version: int, ago: timedelta) -> FlagState:
    revision = Revision(version, f"r{version}", (NOW - ago).isoformat(), "kill.requested")
    return FlagState(version=version, revision=f"r{version}", history={str(version): revision})


class Restarted(World):
    def __init__(self, monkeypatch: pytest.MonkeyPatch, flags: dict[str, FlagState], *sent: FlagSet | None) -> None:
        monkeypatch.setattr(module, "RECONNECT_SECONDS", 0.1)
        super().__init__(*sent)
        self.reports.restored(flags)


async def test_after_a_restart_what_changed_lately_is_said_again_once_clients_had_time_to_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, new = at(2)
    flags = {TARGET: changed(2, timedelta(minutes=1)), "production/shop/old": changed(9, timedelta(days=2))}
    world = Restarted(monkeypatch, flags)
    assert await world.counts() == [], "nobody can say yet who is connected"
    world.clients.append(Stream("flagSetId=production/shop", sent=new))
    world.streams.connected.update(world.clients)
    await asyncio.sleep(0.15)
    assert await world.counts() == [(2, 1, 1)]
    assert (world.reported[0].target, world.reported[0].elapsed_ms) == (TARGET, None)


async def test_after_a_restart_a_stream_without_the_version_does_not_count_and_is_told_of_when_it_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (_, old), (_, new) = at(1), at(2)
    world = Restarted(monkeypatch, {TARGET: changed(2, timedelta(0))}, old)
    await asyncio.sleep(0.15)
    assert await world.counts() == [(2, 0, 1)]
    world.send(0, new)
    assert await world.counts() == [(2, 0, 1), (2, 1, 1)]


async def test_a_change_right_after_a_restart_waits_too_and_the_older_one_is_not_said_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = Restarted(monkeypatch, {TARGET: changed(2, timedelta(0))})
    world.reports.changed(TARGET, at(3)[0], "cause", time.monotonic())
    assert await world.counts() == []
    await asyncio.sleep(0.15)
    assert await world.counts() == [(3, 0, 0)]


async def test_where_nothing_was_served_before_nobody_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    world = Restarted(monkeypatch, {})
    world.reports.changed(TARGET, at(1)[0], "cause", time.monotonic())
    assert await world.counts() == [(1, 0, 0)]


async def test_a_stream_that_reads_nothing_is_closed_and_reported_apart_so_that_the_others_are_safe() -> None:
    (_, old), (state, new) = at(1), at(2)
    world = World(old, old)
    world.reports.changed(TARGET, state, "cause", time.monotonic())
    world.clients[1].writing_since = time.monotonic() - 3.5
    world.send(0, new)
    assert await world.counts() == []
    assert world.streams.close_stuck(time.monotonic(), 3.0) == 1
    assert await world.counts() == [(2, 1, 1)]
    assert world.reported[0].closed == 1
    world.reports.changed(TARGET, at(3)[0], "cause", time.monotonic())
    world.send(0, at(3)[1])
    await world.counts()
    assert world.reported[-1].closed is None, "it was closed before this change"
