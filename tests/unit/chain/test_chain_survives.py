"""The chain under crashes, zombies, lost and repeated appends in any order: right with digests, wrong without."""

import hashlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.chain import record, writer
from penstock.errors import CorruptError
from tests.unit.chain.world import World

# More of what moves things on than of what breaks them, so that runs get somewhere.
KINDS = (
    *("say",) * 3,
    *("pull",) * 4,
    *("propose",) * 3,
    *("send",) * 4,
    *("fold",) * 3,
    *("tick", "lose", "repeat", "crash", "crash-late", "stall", "wake", "wake", "snapshot"),
)
TWO_VERSIONS = (*KINDS, "change")
STEPS = st.lists(
    st.tuples(
        st.sampled_from(TWO_VERSIONS),
        st.integers(0, 2),
        st.integers(0, 9),
    ),
    max_size=150,
)


def step(world: World, kind: str, who: int, number: int) -> None:
    copy = world.all[who % len(world.all)]
    source = "ab"[number % 2]
    if kind == "say":
        world.say(source, number)
    elif kind == "repeat":
        world.repeat(number)
    elif kind == "wake":
        copy.stalled = False
    elif kind == "send":  # a zombie's appends arrive whether it is stalled or not
        world.send(copy)
    elif not copy.stalled:
        {
            "pull": lambda: world.pull(copy, source),
            "tick": lambda: world.tick(copy),
            "propose": lambda: world.propose(copy),
            "fold": lambda: world.fold(copy, number),
            "lose": lambda: world.lose(copy),
            "crash": lambda: world.crash(copy, appends_arrive=False),
            "crash-late": lambda: world.crash(copy, appends_arrive=True),
            "stall": lambda: setattr(copy, "stalled", True),
            "snapshot": lambda: world.snapshot(copy),
            "change": lambda: world.change_version(copy),
        }[kind]()


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 3), STEPS)
def test_every_input_is_decided_once_in_order_whatever_crashes(copies: int, steps: list[tuple[str, int, int]]) -> None:
    world = World(copies)
    for kind, who, number in steps:
        step(world, kind, who, number)
    assert world.verdict() == "right"


def run(seed: int, kinds: tuple[str, ...] = KINDS) -> str:
    rng = random.Random(seed)
    world = World(rng.choice([2, 3]))
    try:
        for _ in range(800):
            step(world, rng.choice(kinds), rng.randrange(3), rng.randrange(10))
        return world.verdict()
    except CorruptError:
        return "a reader met a state that its record does not state"


def test_long_random_runs_end_right() -> None:
    assert {run(seed) for seed in range(30)} == {"right"}


def test_long_random_runs_of_two_versions_end_right_although_one_cannot_read_the_other() -> None:
    assert {run(seed, TWO_VERSIONS) for seed in range(30)} == {"right"}


def test_the_cursor_in_place_of_the_digest_goes_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    def by_cursor(value: bytes) -> str:
        cursor = record._record.decode(value).cursor
        return hashlib.sha256(repr(sorted((name, place.next) for name, place in cursor.items())).encode()).hexdigest()

    monkeypatch.setattr(record, "digest", by_cursor)
    monkeypatch.setattr(writer, "digest", by_cursor)
    assert {run(seed) for seed in range(30)} != {"right"}
