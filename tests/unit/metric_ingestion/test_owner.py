"""A partition's owner through crashes, lost and repeated appends and zombies: the log tells every request once."""

import random
from itertools import pairwise

import msgspec
import pytest

from penstock.chain import Fold, assemble, disassemble, genesis
from penstock.errors import AppendError, InvalidError
from penstock.events import WindowClosed, from_json
from services.metric_ingestion.partitions.owner import Append, Owner
from services.metric_ingestion.selection.match import Matcher
from services.metric_ingestion.selection.select import Selector
from services.metric_ingestion.windows.frames import encode
from tests.support.metrics.ingestion import requests_of, watched
from tests.support.metrics.otlp import CUMULATIVE, SECOND, Export, request, variant
from tests.support.plans import SHORT, TARGET

BEGAN = 1_800_000_000 * SECOND
GENESIS = genesis("cluster", "window-log", 0)
LATENESS = 2 * SECOND
PLAN = watched(SHORT)
SELECTOR = Selector([Matcher(PLAN)])


class World:
    """One partition: its frames, its log, its snapshots, and the copies that work on them.

    Attributes:
        sent: requests in all frames so far; the time goes on by 0.25 s a frame.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.frames: list[bytes] = []
        self.log: list[bytes] = []
        self.snapshots: dict[str, bytes] = {}
        self.generation = 0
        self.sent = 0
        self.cumulative = 0
        self.now = BEGAN

    def export(self) -> None:
        """One source reports: a delta of requests, and a cumulative histogram of the other cohort."""
        self.now += SECOND // 4
        canary, baseline = self.random.randrange(5), self.random.randrange(20)
        # The first cumulative point is only a baseline.
        self.sent += canary + (baseline if self.frames else 0)
        self.cumulative += baseline
        delta = Export(self.now, self.now - SECOND // 4).histogram((canary, 0, 0), variant("on"))
        whole = Export(self.now, BEGAN - SECOND).histogram(
            (self.cumulative, 0, 0), variant("off"), temporality=CUMULATIVE
        )
        for _, frame in SELECTOR.select(request(delta, whole), self.now).frames:
            self.frames.append(encode(frame))

    def owner(self) -> "Copy":
        """A copy that begins now, as a restart would."""
        generation = assemble(self.snapshots.values())
        owner = Owner(generation.fold if generation else Fold(GENESIS), "test")
        if generation is not None:
            owner.restore()
        for offset, value in enumerate(self.log):
            owner.fold_record(offset, value)
        owner.start_at(0)
        return Copy(self, owner)

    def windows(self) -> list[WindowClosed]:
        """What the log tells, by the fold rule."""
        fold = Fold(GENESIS)
        accepted = [fold.offer(offset, value) for offset, value in enumerate(self.log)]
        records = [a.record for a in accepted if a is not None and a.record is not None]
        return [from_json(document) for record in records for document in record.events]  # type: ignore[misc]


class Copy:
    """A running copy; its appends wait in `outbox` until they travel."""

    def __init__(self, world: World, owner: Owner) -> None:
        self.world, self.owner = world, owner
        self.outbox: list[Append] = []
        self.lost = False

    def read(self, most: int) -> None:
        frames = self.world.frames
        for offset in range(self.owner.position, min(len(frames), self.owner.position + most)):
            self.owner.receive(offset, frames[offset], TARGET)
        self.outbox += self.owner.apply_plan(PLAN, BEGAN)
        self.outbox += self.owner.decide(LATENESS, None)

    def tick(self, ahead: int) -> None:
        if self.owner.position == len(self.world.frames) and not self.owner.in_flight:
            self.outbox += self.owner.decide(LATENESS, self.world.now + ahead)

    def travel(self, acknowledged: bool = True, lands: bool = True) -> None:
        """The first append reaches the log, or not; whether the copy hears of it is another matter."""
        if self.outbox and not self.lost:
            append = self.outbox.pop(0)
            if not lands:
                self.outbox, self.lost = [], True
                return
            self.world.log.append(append.value)
            try:
                if acknowledged:
                    self.owner.acknowledge(append, len(self.world.log) - 1)
                else:
                    self.lost = True
            except AppendError:
                self.lost = True

    def keep(self) -> None:
        fold = self.owner.snapshot()
        if fold is not None:
            self.world.generation += 1
            for key, value in disassemble(fold, self.world.generation):
                self.world.snapshots[key] = value
                if self.world.random.random() < 0.02:
                    # Killed between two messages: without its marker the generation does not count.
                    return


def run(seed: int, steps: int = 400) -> World:
    """Let one to three copies work while anything happens to them; then let one finish undisturbed."""
    world = World(seed)
    copies = [world.owner()]
    for _ in range(steps):
        choice = world.random.random()
        place = world.random.randrange(len(copies))
        copy = copies[place]
        if choice < 0.3:
            world.export()
        elif choice < 0.6:
            copy.read(world.random.randrange(1, 6))
        elif choice < 0.88:
            copy.travel(acknowledged=world.random.random() > 0.03, lands=world.random.random() > 0.03)
        elif choice < 0.93:
            copy.keep()
        elif choice < 0.96 or copy.lost:
            copies[place] = world.owner()
        elif len(copies) < 3:
            copies.append(world.owner())
        else:
            copies.pop(place)
    last = world.owner()
    while last.owner.position < len(world.frames) or last.outbox or last.owner.replaying:
        last.read(50)
        while last.outbox:
            last.travel()
    last.tick(10 * SECOND)
    while last.outbox:
        last.travel()
    return world


@pytest.mark.parametrize("seed", range(40))
def test_the_log_tells_every_request_once_whatever_happened_to_the_copies(seed: int) -> None:
    world = run(seed)
    windows = world.windows()
    assert requests_of(windows) == world.sent
    assert sum(window.late for window in windows) == 0
    assert len({window.id for window in windows}) == len(windows)
    assert all(later.start == earlier.end for earlier, later in pairwise(windows))


def test_a_restart_tells_what_an_undisturbed_copy_would_have_told() -> None:
    world = World(5)
    first = world.owner()
    for _ in range(30):
        world.export()
        first.read(1)
        while first.outbox:
            first.travel()
        if len(world.frames) == 17:
            first.keep()
    again = world.owner()
    assert not again.owner.replaying or again.owner.position < len(world.frames)
    again.read(100)
    assert again.outbox == []
    before, after = first.owner.snapshot(), again.owner.snapshot()
    assert before is not None
    assert after is not None
    assert msgspec.json.encode(before.documents, order="sorted") == msgspec.json.encode(after.documents, order="sorted")


def test_nothing_is_decided_before_the_frames_of_recorded_windows_are_read_again() -> None:
    world = World(3)
    first = world.owner()
    for _ in range(20):
        world.export()
        first.read(1)
        while first.outbox:
            first.travel()
    again = world.owner()
    assert again.owner.replaying
    assert again.owner.decide(LATENESS, world.now + 60 * SECOND) == []
    assert again.owner.apply_plan(watched(SHORT.replace("errors", "failures")), world.now) == []
    assert again.owner.snapshot() is None


def test_a_copy_that_was_overtaken_gives_up() -> None:
    world = World(4)
    zombie, owner = world.owner(), world.owner()
    for copy in (zombie, owner):
        copy.outbox += copy.owner.apply_plan(PLAN, BEGAN)
    owner.travel()
    zombie.travel()
    assert not owner.lost
    assert zombie.lost


def test_an_unreadable_frame_is_passed_over() -> None:
    world = World(6)
    owner = world.owner().owner
    with pytest.raises(InvalidError):
        owner.receive(0, b"not a frame", TARGET)
    assert owner.position == 1


def test_a_plan_is_put_in_force_once() -> None:
    copy = World(7).owner()
    assert len(copy.owner.apply_plan(PLAN, BEGAN)) == 1
    assert copy.owner.apply_plan(PLAN, BEGAN) == []
