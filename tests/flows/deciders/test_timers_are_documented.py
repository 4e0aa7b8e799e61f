"""What arms and clears each timer, and what it does, is what docs/architecture.md says: seen in the deciders' logs."""

import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from penstock.chain import Document, decode, merge
from penstock.events import (
    ArchiveRequested,
    Event,
    FlagSubmitted,
    HoldRequested,
    KillRequested,
    PromotionRequested,
    ResumeRequested,
    RollbackRequested,
    Saw,
    UndoRequested,
)
from services.rollback_execution.errands import report
from services.rollback_execution.state import load
from tests.flows.deciders.test_quiet_waits import GUARDED, LONG, QUICK, Quiet, target_of
from tests.support.deciders.rollbacks import HOOK
from tests.support.deciders.simulation import EXECUTION, Simulation
from tests.support.plans import with_approval, with_soak

TEXT = (Path(__file__).parents[3] / "docs" / "architecture.md").read_text()
FIRST_APPROVED = LONG.replace("{name: canary,", "{name: canary, approval: {roles: [operator]},")
HOOKED = LONG.replace("rollback:\n", "rollback:\n" + HOOK).replace("deadline: 60s", "deadline: 600s")


class Row(NamedTuple):
    """A row of the table: the event types that it names in each column."""

    armed: set[str]
    cleared: set[str]
    fires: str


class Change(NamedTuple):
    """A timer that a record armed (again) or cleared, and the types of the record's input and decisions."""

    timer: str
    armed: bool
    types: frozenset[str]


def table() -> dict[str, Row]:
    section = TEXT.split("## Timers", 1)[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` of [\w ]+ \| (.+?) \| (.+?) \| (.+?) \|$", section, re.MULTILINE)
    return {name: Row(types_in(armed), types_in(cleared), fires) for name, armed, cleared, fires in rows}


def types_in(cell: str) -> set[str]:
    return set(re.findall(r"`(\w+\.\w+)`", cell))


def changes_in(simulation: Simulation) -> Iterator[Change]:
    """Yield every change of a timer in the logs."""
    for node in simulation.pipeline.nodes.values():
        documents: dict[str, Document] = defaultdict(dict)
        for value in simulation.pipeline.logs[node.log]:
            record = decode(value).record
            assert record is not None
            before = documents[record.target].get("timers", {})
            documents[record.target] = merge(documents[record.target], record.patch)
            after = documents[record.target].get("timers", {})
            inputs = [event for entry in record.inputs for event in entry.events]
            types = frozenset(str(event["type"]) for event in [*inputs, *record.events])
            for name in {*before, *after}:
                if before.get(name) != after.get(name):
                    yield Change(name, name in after, types)


def flag(stack: Quiet, name: str, kind: type[Event], **fields: Any) -> Event:
    return stack.ask(name, kind, **fields)  # type: ignore[arg-type]


def rollouts(stack: Quiet) -> None:
    stack.deploy("soaking", with_soak(QUICK, 2))
    stack.until("soaking", "completed")
    stack.deploy("approved", with_approval(QUICK))
    stack.until("approved", "awaiting_approval")
    for name, plan in (("held", LONG), ("guarded", GUARDED), ("replaced", LONG), ("silent", LONG)):
        stack.deploy(name, plan)
    stack.ask("held", HoldRequested)
    stack.ask("held", ResumeRequested)
    stack.ask("guarded", HoldRequested)
    stack.ask("replaced", PromotionRequested, override=True)
    stack.deploy("replaced", FIRST_APPROVED, "3")
    for name in stack.canary:
        stack.canary[name] = None
    stack.advance(1000)
    assert (stack.phase("silent"), stack.phase("guarded")) == ("held", "rolled_back")


def rollbacks(stack: Quiet) -> None:
    def roll_back(name: str, answer: Saw | None, windows: int, seconds: float, serving: bool = True) -> None:
        stack.answer, stack.serving = answer, serving
        stack.canary[name] = 0
        for _ in range(5):
            stack.interval()
        stack.deploy(name, HOOKED)
        stack.interval()
        stack.canary[name] = 0
        stack.ask(name, RollbackRequested)
        for _ in range(windows):
            stack.interval()
        stack.advance(seconds)
        stack.canary[name] = None

    roll_back("recovers", Saw.SUCCEEDED, 5, 0)
    roll_back("fails", Saw.FAILED, 0, 700)
    roll_back("refuses", Saw.REFUSED, 0, 700)
    roll_back("unanswered", None, 0, 15)
    stack.executor = "rollback-1"
    stack.advance(25)
    stack.executor = "rollback-0"
    roll_back("unserved", Saw.SUCCEEDED, 0, 700, serving=False)
    roll_back("late", Saw.FAILED, 0, 0)
    waiting = load(stack.pipeline.nodes[EXECUTION].replica.fold.documents[target_of("late")]).running
    assert waiting is not None
    stack.pipeline.observe(EXECUTION, report(target_of("late"), waiting, "rollback-0", stack.now, Saw.SUCCEEDED, 200))
    stack.settle()


def flags(stack: Quiet) -> None:
    stack.deploy("flagged", QUICK)
    stack.until("flagged", "completed")
    kill = flag(stack, "flagged", KillRequested)
    flag(stack, "flagged", UndoRequested, kill=kill.id)
    definition: dict[str, Any] = {"variants": {"on": True, "off": False}, "lifecycle": {"expires": "2030-01-02"}}
    flag(stack, "flagged", FlagSubmitted, definition=definition)
    stack.canary["flagged"] = None
    stack.advance(2 * 86_400)
    flag(stack, "flagged", FlagSubmitted, definition={**definition, "lifecycle": {"permanent": True}})
    stack.advance(1)
    flag(stack, "flagged", FlagSubmitted, definition=definition)
    flag(stack, "flagged", ArchiveRequested, variant="off")


@cache
def seen() -> dict[str, list[Change]]:
    """Return the changes of each timer in histories that lead through every phase of a rollout, rollback and flag."""
    found: dict[str, list[Change]] = defaultdict(list)
    for play in (rollouts, rollbacks, flags):
        stack = Quiet()
        play(stack)
        for change in changes_in(stack):
            found[change.timer].append(change)
    return dict(found)


def test_every_timer_has_its_row_and_no_row_is_left_over() -> None:
    assert set(table()) == set(seen())
    assert all(len(row.fires) > 20 for row in table().values())


@pytest.mark.parametrize("timer", sorted(table()))
def test_whatever_arms_or_clears_a_timer_stands_in_its_row(timer: str) -> None:
    row = table()[timer]
    for change in seen()[timer]:
        named = row.armed if change.armed else row.cleared | {"timer.fired"}
        assert change.types & named, f"{'armed' if change.armed else 'cleared'} by {sorted(change.types)}"


@pytest.mark.parametrize("timer", sorted(table()))
def test_whatever_stands_in_a_row_arms_or_clears_the_timer(timer: str) -> None:
    row = table()[timer]
    armed: set[str] = set().union(*(change.types for change in seen()[timer] if change.armed))
    cleared: set[str] = set().union(*(change.types for change in seen()[timer] if not change.armed))
    assert row.armed <= armed
    assert row.cleared <= cleared
