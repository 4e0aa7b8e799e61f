"""Windows in, decisions out, with gate evaluation and rollout control in memory, in any order of delivery."""

import random

import pytest

from penstock.events import Event, RolloutEvent, StageJudged, Word
from tests.support.deciders.pipeline import Pipeline
from tests.support.deciders.slice import deploy, pipeline
from tests.support.metrics.windows import moment, window
from tests.support.plans import SHORT, TARGET, with_soak


def run(
    rng: random.Random | None = None, crash: float = 0.0, plan: str = SHORT, windows: int = 60, **shape: float
) -> Pipeline:
    world = pipeline()
    world.publish("deploys", deploy(plan))
    world.settle(rng)
    for number in range(windows):
        world.close_window(window(TARGET, number, moment(), **shape))  # type: ignore[arg-type]
        if rng is None or rng.random() < 0.5:
            world.settle(rng, crash)
    world.settle(rng, crash)
    return world


def transitions(world: Pipeline) -> list[str]:
    return [event.type for event in world.said if isinstance(event, RolloutEvent)]


def test_a_good_release_is_promoted_through_all_stages() -> None:
    world = run()
    assert transitions(world) == [
        "rollout.announced",
        "stage.entered",
        "stage.passed",
        "stage.entered",
        "stage.passed",
        "rollout.completed",
    ]


def test_a_bad_tail_is_rolled_back_with_its_numbers_and_quarantined() -> None:
    world = run(canary_slow=0.05)
    assert transitions(world)[-2:] == ["rollback.started", "version.quarantined"]
    started = next(event for event in world.said if event.type == "rollback.started")
    assert isinstance(started, RolloutEvent)
    assert started.ground.gates[0].gate == "p99"
    assert started.ground.gates[0].word is Word.BREACH
    assert started.plan_hash
    assert world.types("deploy.refused") == []
    world.publish("deploys", deploy(number=2, second=100))
    world.settle()
    assert world.types("deploy.refused") == ["deploy.refused"]


def test_a_canary_without_traffic_is_held_and_never_promoted() -> None:
    world = run(canary=0)
    assert transitions(world) == ["rollout.announced", "stage.entered", "rollout.held"]


def test_data_that_returns_resumes_a_hold_by_itself() -> None:
    world = pipeline()
    world.publish("deploys", deploy())
    world.settle()
    for number in range(40):
        world.close_window(window(TARGET, number, moment(), canary=0 if number < 12 else 60))
    world.settle()
    assert transitions(world)[2:4] == ["rollout.held", "rollout.resumed"]
    assert "stage.passed" in transitions(world)


def test_guards_stay_live_in_the_soak() -> None:
    world = pipeline()
    world.publish("deploys", deploy(with_soak(windows=30)))
    number = 0
    while "rollout.completed" not in transitions(world) and number < 120:
        soaking = any(getattr(event, "soak", False) for event in world.said)
        world.close_window(window(TARGET, number, moment(), canary_slow=0.08 if soaking else 0.0))
        world.settle()
        number += 1
        if "rollback.started" in transitions(world):
            break
    assert transitions(world)[-2:] == ["rollback.started", "version.quarantined"]


def test_the_same_deploy_event_twice_starts_one_rollout() -> None:
    world = pipeline()
    for _ in range(3):
        world.publish("deploys", deploy())
    world.settle()
    assert world.types("rollout.announced") == ["rollout.announced"]
    assert world.types("deploy.repeated") == ["deploy.repeated"] * 2


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("slow", [0.0, 0.05])
def test_any_order_of_delivery_and_any_crash_ends_in_the_same_decisions_and_ids(seed: int, slow: float) -> None:
    expected = run(canary_slow=slow, windows=40)
    shuffled = run(random.Random(seed), crash=0.1, canary_slow=slow, windows=40)
    kinds = {event.type for event in expected.said if isinstance(event, RolloutEvent | StageJudged)}
    assert shuffled.decisions(*kinds) == expected.decisions(*kinds)


def test_verdicts_carry_the_entry_that_they_judged() -> None:
    world = run(windows=30)
    entries = {event.id for event in world.said if event.type == "stage.entered"}
    judged: list[Event] = [event for event in world.said if isinstance(event, StageJudged)]
    assert judged
    assert {event.entry for event in judged if isinstance(event, StageJudged)} <= entries
