"""An instance that started without Kafka takes what its peers have beyond its disk, and never the other way round."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from penstock.chain import Document
from penstock.events import Event, FlagSubmitted, KillRequested, OptOutRequested, RollbackStarted, StageEntered
from penstock.tokens import Identity, Tokens, digest_of
from services.flag_control.decide import decide
from services.flag_control.fallback import start_without_kafka as module
from services.flag_control.fallback.kill_spool import KillSpool
from services.flag_control.fallback.last_good import LastGood, SavedFlag, saved_flag
from services.flag_control.fallback.last_good_writer import LastGoodWriter
from services.flag_control.fallback.peer_flags import PeerFlags, decoded, encoded, newer_flags
from services.flag_control.fallback.peers import FLAGS_PATH, Peers, peer_key
from services.flag_control.fallback.start_without_kafka import StartWithoutKafka
from services.flag_control.flag.change import effective_exposure
from services.flag_control.publisher import Publisher
from services.flag_control.serving.store import FlagStore
from services.flag_control.serving.streams import Signal
from services.runtime.process.service import system_clock
from tests.support.builders import an

TARGET = an(FlagSubmitted).target
SUBMITTED = an(FlagSubmitted)
ENTERED = an(StageEntered, id="entry-1", target=TARGET, exposure=0.5, audience={})
ROLLED_BACK = an(RollbackStarted, id="rollback-1", target=TARGET)
KILL = an(KillRequested, id="kill-1", target=TARGET)


def decided(*events: Event) -> Document:
    document: Document = {}
    for event in events:
        document = decide(TARGET, document, event).document
    return document


EXPOSED = decided(SUBMITTED, ENTERED)
SAFE = decided(SUBMITTED, ENTERED, ROLLED_BACK)


def kept(document: Document, *ahead: tuple[Event, int], at: str = "") -> SavedFlag:
    return saved_flag(TARGET, document, ahead, at)


def told(*flags: SavedFlag, kills: tuple[KillRequested, ...] = ()) -> PeerFlags:
    return decoded(encoded(flags, kills))


def test_a_higher_version_is_taken_and_a_lower_or_equal_one_is_not() -> None:
    for mine, theirs, taken in ((EXPOSED, SAFE, True), (SAFE, EXPOSED, False), (SAFE, SAFE, False)):
        newer = newer_flags({TARGET: mine}, frozenset(), [told(kept(theirs))])
        assert (TARGET in newer.flags) is taken
    assert set(newer_flags({}, frozenset(), [told(kept(EXPOSED))]).flags) == {TARGET}


def test_of_two_peers_the_newer_one_counts_in_either_order() -> None:
    for order in ((EXPOSED, SAFE), (SAFE, EXPOSED)):
        newer = newer_flags({}, frozenset(), [told(kept(one)) for one in order])
        assert newer.flags[TARGET].document["version"] == SAFE["version"]


def test_a_rollback_ahead_of_the_log_is_taken_at_the_same_version_once_and_not_at_an_older_one() -> None:
    shared = [told(kept(EXPOSED, (ROLLED_BACK, 7)))]
    (flag,) = newer_flags({TARGET: EXPOSED}, frozenset(), shared).flags.values()
    assert flag.events == ((ROLLED_BACK, 7),)
    assert newer_flags({TARGET: EXPOSED}, frozenset({ROLLED_BACK.id}), shared).flags == {}
    edited = decided(SUBMITTED, ENTERED, an(OptOutRequested, id="o", target=TARGET))
    assert newer_flags({TARGET: edited}, frozenset(), shared).flags == {}


class World:
    """An instance that started without Kafka, and a peer that answers what it is told to."""

    def __init__(self, folder: Path, answer: Callable[[httpx.Request], httpx.Response]) -> None:
        self.disk = LastGood(folder / "last")
        self.spool = KillSpool(folder / "kills")
        self.publisher = Publisher(FlagStore(), lambda _: {})
        self.publisher.serve_from({})
        self.peers = Peers("http://peer", "the-key")
        self.peers._client = httpx.AsyncClient(transport=httpx.MockTransport(answer))
        self.writer = LastGoodWriter(self.disk, self._kept, lambda _: None, Signal())
        self.writer.start()
        self.fallback = StartWithoutKafka(self.publisher, self.peers, self.writer, self.spool, system_clock)

    def _kept(self, target: str) -> SavedFlag | None:
        good = self.publisher.good(target)
        return saved_flag(target, *good, "now") if good else None

    def exposure(self) -> float:
        return effective_exposure(self.publisher.state(TARGET))

    async def end(self) -> None:
        await self.fallback.stop()
        await self.writer.stop()
        await self.peers.close()


async def test_a_rollback_that_only_a_peer_knows_is_in_force_before_anything_is_served_and_kept(tmp_path: Path) -> None:
    world = World(tmp_path, lambda _: httpx.Response(200, content=encoded([kept(SAFE, at="2026-03-02")], [])))
    exposures = []
    publish = world.publisher.publish
    world.publisher.publish = lambda *t, **o: (publish(*t, **o), exposures.append(world.exposure()))  # type: ignore[method-assign]
    await world.fallback.serve({TARGET: kept(EXPOSED, at="2026-03-01")})
    assert exposures == [0.0]
    assert world.fallback.stale is not None
    assert world.fallback.stale.newest == "2026-03-02"
    await world.end()
    assert LastGood(tmp_path / "last").load()[TARGET].document["version"] == SAFE["version"]


async def test_a_kill_that_only_a_peer_knows_goes_above_and_on_disk(tmp_path: Path) -> None:
    world = World(tmp_path, lambda _: httpx.Response(200, content=encoded([], [KILL])))
    await world.fallback.serve({TARGET: kept(EXPOSED)})
    assert world.exposure() == 0
    assert KillSpool(tmp_path / "kills").load() == (KILL,)
    await world.end()


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(401, content=b"{}"),
        httpx.Response(200, content=b"not JSON"),
        httpx.Response(200, content=b'{"flags":[{"target":"a/b/c","document":{"version":"x"}}]}'),
        httpx.Response(200, content=b'{"kills":[{"type":"rollback.started"}]}'),
        httpx.Response(200, content=b"[]"),
    ],
    ids=["unauthorised", "rubbish", "no document", "no kill", "a list"],
)
async def test_a_peer_that_makes_no_sense_changes_nothing(tmp_path: Path, answer: httpx.Response) -> None:
    world = World(tmp_path, lambda _: answer)
    await world.fallback.serve({TARGET: kept(EXPOSED)})
    assert world.exposure() == 0.5
    await world.end()


async def test_it_goes_on_asking_and_serves_as_soon_as_a_peer_has_flags_and_stops_with_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ASK_SECONDS", 0.01)
    asked: list[httpx.Request] = []
    answers = [httpx.Response(503), httpx.Response(200, content=encoded([kept(EXPOSED)], []), headers={"etag": "one"})]
    later = httpx.Response(200, content=encoded([kept(SAFE)], []), headers={"etag": "two"})

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return answers.pop(0) if answers else later

    world = World(tmp_path, answer)
    await world.fallback.serve({})
    assert world.fallback.stale is None
    async with asyncio.timeout(10):
        while world.exposure() == 0:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        while world.exposure() != 0:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    assert asked[0].headers["authorization"] == "Peer the-key"
    assert asked[2].headers["if-none-match"] == "one"
    world.publisher.release({}, lambda target, offset: False)
    world.fallback.end()
    await asyncio.sleep(0.05)
    count = len(asked)
    await asyncio.sleep(0.05)
    assert len(asked) == count
    await world.end()


def test_the_key_of_peers_comes_from_the_tokens_file_and_is_no_token() -> None:
    one, other = (Tokens(tokens=(Identity(sha256=digest_of(text), identity="a"),)) for text in ("x", "y"))
    assert peer_key(one) == peer_key(one) != peer_key(other)
    assert peer_key(one) not in {digest_of("x"), ""}
    assert peer_key(Tokens()) == ""
    assert FLAGS_PATH.startswith("/flags/peers/")
