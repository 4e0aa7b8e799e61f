"""The deciders in memory, from a bad release to its recorded recovery, whatever is delivered first, through crashes."""

import random

import pytest

from penstock import ids
from penstock.events import (
    ExposureChanged,
    FlagServed,
    RollbackCompleted,
    RollbackEscalated,
    RollbackExecuted,
    RollbackStarted,
    Saw,
    TimerFired,
)
from services.flag_control.decide import decide as flags
from services.rollback_execution.decide import decide as execute
from services.rollback_execution.errands import errand_of, report
from services.rollback_execution.state import State, load
from tests.support.deciders.pipeline import Node, Pipeline
from tests.support.deciders.slice import deploy, pipeline
from tests.support.metrics.windows import moment, window
from tests.support.plans import SHORT, TARGET

NODE = "rollback_execution"
QUIET = 12


class World:
    """All four deciders, and what their shells do: claims, and reports of streams."""

    def __init__(self, rng: random.Random | None = None, crash: float = 0.0) -> None:
        self._rng, self._crash = rng, crash
        self.pipeline: Pipeline = pipeline(
            Node("flag_control", "flag-log", flags, ("commands",), ("rollout-log",)),
            Node(NODE, "rollback-log", execute, ("flag-served",), ("rollout-log", "flag-log", "window-log")),
        )
        self._reported: set[str] = set()
        self.streams = 3

    def settle(self) -> None:
        """Deliver everything, doing meanwhile what the shells would do."""
        while True:
            self.pipeline.settle(self._rng, self._crash)
            if not (self._report() or self._claim()):
                return

    def state(self) -> State:
        """What rollback execution holds of the target."""
        return load(self.pipeline.nodes[NODE].replica.fold.documents.get(TARGET, {}))

    def fire(self, timer: str) -> None:
        """Let a timer of rollback execution come due."""
        due = self.state().timers[timer]
        fired = TimerFired(id=f"{timer}-{due}", source="/t", target=TARGET, time=due, timer=timer, due=due)
        self.pipeline.tick(NODE, fired)
        self.settle()

    def run(self, quiet: int = QUIET, canary_slow: float = 0.3) -> None:
        """Quiet windows, a deploy, and windows of the release until it is taken back."""
        for number in range(quiet):
            self.pipeline.close_window(window(TARGET, number, moment(), canary=0))
        self.settle()
        self.pipeline.publish("deploys", deploy(SHORT, second=float(quiet)))
        self.settle()
        for number in range(quiet, quiet + 30):
            self.pipeline.close_window(window(TARGET, number, moment(), canary_slow=canary_slow))
            self.settle()
            if "rollback.started" in self.pipeline.types():
                self.next = number + 1
                return
        raise AssertionError("the release was not taken back")

    def windows(self, count: int, **more: float) -> None:
        """Close further windows, without a canary unless told otherwise."""
        for number in range(self.next, self.next + count):
            self.pipeline.close_window(window(TARGET, number, moment(), **({"canary": 0} | more)))  # type: ignore[arg-type]
            self.settle()
        self.next += count

    def _claim(self) -> bool:
        state = self.state()
        errand = errand_of(state, "rollback-0")
        if errand is None or errand.what != "claim" or state.running is None:
            return False
        claim = report(TARGET, state.running, "rollback-0", moment(100), Saw.CLAIMED)
        self.pipeline.observe(NODE, claim)
        return True

    def _report(self) -> bool:
        said = [e for e in self.pipeline.said if isinstance(e, ExposureChanged) and e.id not in self._reported]
        for change in said:
            self._reported.add(change.id)
            self.pipeline.publish(
                "flag-served",
                FlagServed(
                    id=ids.derive("served", change.id),
                    source="/penstock/flag_control",
                    target=TARGET,
                    time=change.time,
                    instance="flags-0",
                    version=change.version,
                    revision=change.revision,
                    streams=self.streams,
                    served=self.streams,
                    elapsed_ms=8.0,
                ),
            )
        return bool(said)


def test_a_bad_release_is_taken_back_contained_and_seen_to_recover() -> None:
    world = World()
    world.run()
    world.windows(3)
    kinds = world.pipeline.types()
    ends = ["recovery.verified", "rollback.executed", "rollback.completed"]
    for order in (["rollback.started", "step.started", "step.completed"], ["rollback.started", "exposure.contained"]):
        assert [kind for kind in kinds if kind in order + ends] == order + ends
    executed = next(event for event in world.pipeline.said if isinstance(event, RollbackExecuted))
    assert (executed.contained_seconds, executed.recovered) == (0.008, True)
    completed = next(event for event in world.pipeline.said if isinstance(event, RollbackCompleted))
    assert completed.recovered
    started = next(event for event in world.pipeline.said if isinstance(event, RollbackStarted))
    assert {event.rollout for event in world.pipeline.said if event.type.startswith(("step.", "recovery."))} == {
        started.rollout
    }


def test_windows_that_stay_bad_end_in_an_escalation_and_an_unrecovered_rollout() -> None:
    world = World()
    world.run()
    world.windows(5, canary=20)
    assert "rollback.executed" not in world.pipeline.types()
    world.fire("recovery")
    assert world.pipeline.types()[-3:] == ["rollback.escalated", "rollback.executed", "rollback.completed"]
    [escalated] = [event for event in world.pipeline.said if isinstance(event, RollbackEscalated)]
    assert "still gets requests" in escalated.reason
    assert isinstance(world.pipeline.said[-1], RollbackCompleted)
    assert not world.pipeline.said[-1].recovered


def test_after_its_rollback_the_target_takes_and_completes_another_rollout() -> None:
    world = World()
    world.run()
    world.windows(3)
    world.pipeline.publish("deploys", deploy(SHORT, version="3", number=2, second=float(world.next)))
    world.settle()
    for _ in range(60):
        world.windows(1, canary=60)
    assert "rollout.completed" in world.pipeline.types()
    assert world.pipeline.types().count("rollback.executed") == 1
    assert not world.state().live


@pytest.mark.parametrize("seed", range(8))
def test_any_order_and_any_crash_end_in_the_same_rollback(seed: int) -> None:
    calm = World()
    calm.run()
    calm.windows(3)
    wild = World(random.Random(seed), crash=0.05)
    wild.run()
    wild.windows(6)
    facts = ("step.", "exposure.contained", "rollback.", "recovery.")
    ours, theirs = (
        {(event.type, event.id) for event in world.pipeline.said if event.type.startswith(facts)}
        for world in (calm, wild)
    )
    assert ours == theirs
    said = [event.id for event in wild.pipeline.said]
    assert len(said) == len(set(said))
