"""A stack that is left alone: two simulated hours with rollouts in every phase, and what they write meanwhile."""

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from penstock.chain import decode
from penstock.events import (
    DeployAnnounced,
    Event,
    FlagRequest,
    HoldRequested,
    KillRequested,
    Release,
    Request,
    RollbackRequested,
    TimerFired,
    WindowClosed,
    to_json,
)
from penstock.replay.history import events_of
from services.runtime.clock.timers import Timers
from tests.support.deciders.simulation import Simulation
from tests.support.metrics.windows import moment, window
from tests.support.plans import SHORT, with_approval, with_soak

LENGTH = 30.0
BASE = SHORT.replace("length: 1s", "length: 30s").replace("after: 1h", "after: 15m")
QUICK = BASE.replace("min: 8, max: 40", "min: 1, max: 6")
LONG = BASE.replace("min: 8, max: 40", "min: 2000, max: 4000")
GUARDED = LONG.replace("action: hold", "action: rollback")


def target_of(name: str) -> str:
    return f"staging/shop/{name}"


class Quiet(Simulation):
    """A stack with one target for each way to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.windows: Counter[str] = Counter()
        self.canary: dict[str, int | None] = {}

    def deploy(self, name: str, plan: str, version: str = "2") -> None:
        target = target_of(name)
        self.canary[name] = 60
        event = DeployAnnounced(
            id=f"{name}-{version}",
            source="/ci",
            target=target,
            time=self.now,
            release=Release(service="shop", version=version, author="alice"),
            plan_text=plan.replace("flag: banner", f"flag: {name}"),
            actor="ci",
            grants=("announce", "plan"),
        )
        self.publish("deploys", event)

    def ask(self, name: str, kind: type[Request] | type[FlagRequest], **fields: Any) -> Event:
        event = kind(
            id=f"{kind.__name__}-{name}-{self.now.isoformat()}",
            source="/penstock/console",
            target=target_of(name),
            time=self.now,
            actor="bob",
            reason="because",
            roles=("admin",),
            **fields,
        )
        self.publish("commands", event)
        return event

    def phase(self, name: str) -> str:
        document = self.pipeline.nodes["rollout_control"].replica.fold.documents[target_of(name)]
        return str(document["rollout"]["phase"])

    def interval(self) -> None:
        """Let one interval pass, and close a window of each target that is measured."""
        self.advance(LENGTH)
        for name, canary in self.canary.items():
            if canary is None:
                continue
            self.windows[name] += 1
            closed = window(target_of(name), self.windows[name], self.now, seconds=LENGTH, canary=max(0, canary))
            changed = {"id": f"{name}-{self.windows[name]}", "start": self.now - timedelta(seconds=LENGTH)}
            changed |= {"end": self.now, "time": self.now}
            if canary < 0:
                changed |= {"measures": {}, "split": None}
            self.close(WindowClosed.model_validate(to_json(closed) | changed))

    def until(self, name: str, *phases: str) -> None:
        for _ in range(60):
            if self.phase(name) in phases:
                return
            self.interval()
        raise AssertionError(f"{name} is {self.phase(name)}, not {phases}")

    def written(self) -> dict[str, Counter[str]]:
        """Return by log how many records were written for each target."""
        return {
            log: Counter(decode(value).target.rpartition("/")[2] for value in values)
            for log, values in self.pipeline.logs.items()
        }


def in_every_phase() -> Quiet:
    """Return a stack with a target in each phase in which a rollout may wait."""
    stack = Quiet()
    stack.deploy("soaking", with_soak(QUICK, 3000))
    stack.until("soaking", "soaking")
    stack.deploy("completed", QUICK)
    stack.until("completed", "completed")
    stack.deploy("approval", with_approval(QUICK))
    stack.until("approval", "awaiting_approval")
    stack.deploy("rolled-back", LONG)
    stack.interval()
    stack.ask("rolled-back", RollbackRequested)
    stack.canary["rolled-back"] = 0
    stack.until("rolled-back", "rolled_back")
    stack.deploy("killed", LONG)
    stack.deploy("killed", LONG, "3")
    stack.ask("killed", KillRequested)
    stack.canary["killed"] = 0
    stack.until("killed", "rolled_back")
    stack.deploy("first-approval", LONG.replace("{name: canary,", "{name: canary, approval: {roles: [operator]},"))
    stack.deploy("held", LONG)
    stack.ask("held", HoldRequested)
    stack.deploy("guarded", GUARDED)
    stack.ask("guarded", HoldRequested)
    stack.deploy("baking", LONG)
    stack.deploy("silent", LONG)
    stack.canary["silent"] = None
    stack.deploy("blank", LONG)
    stack.canary["blank"] = -1
    return stack


def test_two_hours_alone_write_windows_verdicts_and_timers_that_mean_something(
    capsys: pytest.CaptureFixture[str],
) -> None:
    stack = in_every_phase()
    before, started = stack.written(), stack.now
    for _ in range(int(7200 / LENGTH)):
        stack.interval()
    assert stack.now - started == timedelta(hours=2)
    after = stack.written()
    counts = {log: {name: n - before[log][name] for name, n in sorted(after[log].items())} for log in after}
    with capsys.disabled():
        for log, by_target in counts.items():
            print(f"\n{log}: {sum(by_target.values())}  {by_target}")
    windows = int(7200 / LENGTH)
    measured = {name for name, canary in stack.canary.items() if canary is not None}
    assert counts["window-log"] == dict.fromkeys(sorted(measured), windows)
    assert set(counts["flag-log"].values()) == {0}
    # Without data: the dead-man timer, once. With data, and a timer: it is armed again at most eight times per `after`.
    rearmed = 8 * 7200 / 900 + 1
    most = {"silent": 1, "blank": 1, "baking": rearmed, "soaking": rearmed, "guarded": rearmed}
    for name, count in counts["rollout-log"].items():
        assert count <= most.get(name, 0), name
    assert all(counts["rollout-log"][name] for name in most)
    # Verdicts without data are published until the rollout is held for it, and then for each reason once.
    held_after = 900 / LENGTH + 2
    for name, count in counts["verdict-log"].items():
        assert count <= {"silent": 1, "blank": held_after + 1, "": windows}.get(name, windows + 1), name
    # The windows that a recovery is compared with: one in thirty, and the cursor past those that change nothing.
    assert sum(counts["rollback-log"].values()) <= 2 * len(measured) * (windows / 30 + 1)


def consumed(stack: Quiet) -> list[tuple[str, Event]]:
    """Return what may reach a decider once more: the last input of each type, and a timer that nobody armed.

    What comes through a chained log is folded once; rollout control bears it twice all the same.
    """
    again: list[tuple[str, Event]] = []
    for name, node in stack.pipeline.nodes.items():
        inputs: dict[tuple[str, str], Event] = {}
        for value in stack.pipeline.logs[node.log]:
            record = decode(value).record
            assert record is not None
            for entry in record.inputs:
                if entry.source not in node.chained or name == "rollout_control":
                    inputs |= {(record.target, event.type): event for event in events_of(entry)}
        again += [(name, event) for event in inputs.values() if event.type not in NEVER_REPEATED]
        again += [(name, fired(target, "dead_man")) for target in node.replica.fold.documents]
    return again


NEVER_REPEATED = {"deploy.announced"}
"""A deploy that is announced again is answered, with the rollout that it started."""


def fired(target: str, timer: str) -> TimerFired:
    """Return a timer that nobody armed for that time."""
    due = moment(12.5)
    return TimerFired(id="t", source="/t", target=target, time=due, timer=timer, due=due)


def repeat(stack: Quiet) -> dict[str, int]:
    """Let every decider have its inputs once more; return how many records are in each log after that."""
    for name, event in consumed(stack):
        stack.pipeline.observe(name, event)
    stack.settle()
    return stack.counts()


def test_an_input_that_comes_again_writes_nothing_in_any_phase() -> None:
    stack = in_every_phase()
    before, once = stack.counts(), repeat(stack)
    # A report of a flag's version that came before the rollout was announced is news the first time.
    changed = {log for log, count in once.items() if count != before[log]}
    assert changed <= {"rollback-log"}
    assert repeat(stack) == once
    assert repeat(stack) == once


def test_a_timer_that_has_fired_is_gone_or_armed_for_later() -> None:
    stack = in_every_phase()
    stack.advance(3600)
    before = stack.counts()
    for _ in range(3):
        stack.fire()
        stack.settle()
    assert stack.counts() == before
    for name, node in stack.pipeline.nodes.items():
        timers = Timers(f"/penstock/{name}")
        for target, document in node.replica.fold.documents.items():
            timers.note(target, document)
        assert list(timers.due(stack.now)) == [], name


def test_every_phase_in_which_a_rollout_waits_is_among_them() -> None:
    stack = in_every_phase()
    phases = {stack.phase(name) for name in stack.canary}
    assert phases >= {"awaiting_approval", "baking", "held", "soaking", "rolled_back", "completed"}
