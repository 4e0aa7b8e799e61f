"""Random histories through the real deciders: every reader can read what was decided, and every id names one fact."""

from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from penstock.events import (
    ApprovalGranted,
    ArchiveRequested,
    Cohort,
    DeployAnnounced,
    Event,
    FlagSubmitted,
    HoldRequested,
    KillRequested,
    LiftRequested,
    OptOutRequested,
    PlanSubmitted,
    PromotionRequested,
    Release,
    ResumeRequested,
    RollbackRequested,
    UndoRequested,
    WindowClosed,
    to_json,
)
from penstock.replay import History, Line
from penstock.replay.decide import decide_again
from penstock.replay.history import fold_history
from penstock.rollout import RolloutState
from tests.support.deciders.simulation import Simulation
from tests.support.metrics.windows import window
from tests.support.plans import SHORT, TARGET, with_approval, with_soak

ROLL_BACK = SHORT.replace("action: hold", "action: rollback").replace("after: 1h", "after: 20s")
FIRST_APPROVED = SHORT.replace("{name: canary,", "{name: canary, approval: {roles: [release-manager]},")
QUICK = SHORT.replace("min: 8, max: 40", "min: 2, max: 3")
EXTENDS = QUICK.replace("max: 3}", "max: 3}, on_inconclusive: extend")
PLANS = (QUICK, ROLL_BACK, FIRST_APPROVED, with_approval(QUICK), with_soak(QUICK, 2), EXTENDS)

COMMANDS: dict[str, tuple[type[Event], dict[str, Any]]] = {
    "promote": (PromotionRequested, {"override": True}),
    "hold": (HoldRequested, {}),
    "resume": (ResumeRequested, {}),
    "rollback": (RollbackRequested, {}),
    "approve": (ApprovalGranted, {}),
    "plan": (PlanSubmitted, {"plan_text": QUICK}),
    "lift": (LiftRequested, {"version": "1"}),
    "kill": (KillRequested, {}),
    "undo": (UndoRequested, {"version": 1}),
    "opt_out": (OptOutRequested, {"values": ("ann",)}),
    "flag": (FlagSubmitted, {"definition": {"variants": {"on": True, "off": False, "new": True}}}),
    "archive": (ArchiveRequested, {"variant": "off"}),
}
OFFSETS = (0, 60, -3600, 86_400, -86_400)

deploys = st.tuples(
    st.just("deploy"),
    st.integers(0, len(PLANS) - 1),
    st.sampled_from(["/ci", "/other"]),
    st.integers(1, 3),
    st.sampled_from(OFFSETS),
)
commands = st.tuples(st.just("command"), st.sampled_from(sorted(COMMANDS)), st.integers(1, 4))
windows = st.tuples(st.just("windows"), st.sampled_from(["good", "bad", "empty", "no canary"]), st.integers(1, 4))
waits = st.tuples(st.just("wait"), st.sampled_from([1, 15, 30, 3700]))
histories = st.lists(deploys | commands | windows | waits, min_size=1, max_size=14)


class Player:
    """Plays the steps of a history."""

    def __init__(self) -> None:
        self.simulation = Simulation()
        self.windows = 0

    def play(self, steps: list[tuple[Any, ...]]) -> Simulation:
        for step in steps:
            by_name: dict[str, Callable[..., None]] = {
                "deploy": self.deploy,
                "command": self.command,
                "windows": self.close,
                "wait": self.simulation.advance,
            }
            by_name[step[0]](*step[1:])
        return self.simulation

    def deploy(self, plan: int, source: str, number: int, offset: int) -> None:
        event = DeployAnnounced(
            id=f"d{number}",
            source=source,
            target=TARGET,
            time=self.simulation.now + timedelta(seconds=offset),
            release=Release(service="shop", version=str(number), author="alice"),
            plan_text=PLANS[plan],
            actor="ci",
            grants=("announce", "plan"),
        )
        self.simulation.publish("deploys", event)

    def command(self, verb: str, number: int) -> None:
        kind, fields = COMMANDS[verb]
        common = {"roles": ("release-manager", "admin"), "reason": "because", "actor": f"bob-{number}"}
        event = kind(
            id=f"{verb}-{number}",
            source="/penstock/console",
            target=TARGET,
            time=self.simulation.now,
            **common,  # type: ignore[arg-type]
            **fields,
        )
        self.simulation.publish("commands", event)

    def close(self, what: str, count: int) -> None:
        for _ in range(count):
            self.windows += 1
            self.simulation.advance(1)
            began = self.simulation.now - timedelta(seconds=self.windows + 1)
            closed = window(TARGET, self.windows, began, canary_errors=0.9 if what == "bad" else 0.01)
            if what in {"empty", "no canary"}:
                kept = {} if what == "empty" else {Cohort.BASELINE: closed.measures[Cohort.BASELINE]}
                closed = WindowClosed.model_validate(to_json(closed) | {"measures": kept, "split": None})
            self.simulation.close(closed)


def decided_twice(simulation: Simulation) -> list[tuple[str, str]]:
    """Return the ids under which the accepted events of each log were decided, and are when they are decided again."""
    pairs = []
    for node in simulation.pipeline.nodes.values():
        values = simulation.pipeline.logs[node.log]
        lines = tuple(Line(node.log, offset, value) for offset, value in enumerate(values))
        for step in fold_history(History("c", "", 0, lines))[node.log] if lines else ():
            assert step.record.error == "", f"{node.name} refused an input: {step.record.error}"
            again = decide_again(step, node.decide)
            pairs += list(zip([e["id"] for e in step.record.events], [e["id"] for e in again["events"]], strict=True))
    return pairs


def play(steps: list[tuple[Any, ...]]) -> Simulation:
    return Player().play(steps)


@settings(deadline=None, max_examples=120, suppress_health_check=[HealthCheck.too_slow])
@given(histories)
@example([("deploy", 2, "/ci", 1, 0), ("command", "rollback", 1), ("deploy", 0, "/ci", 2, 0)])
@example([("deploy", 2, "/ci", 1, 0), ("command", "kill", 1), ("wait", 30)])
@example([("deploy", 0, "/ci", 1, -3600), ("wait", 1), ("deploy", 0, "/ci", 2, -3600), ("wait", 1)])
@example([("deploy", 0, "/ci", 1, 0), ("command", "rollback", 1), ("deploy", 0, "/other", 1, 0)])
@example([("deploy", 0, "/ci", 1, 0), ("deploy", 0, "/other", 1, 0), ("deploy", 0, "/other", 2, 0)])
def test_whatever_happens_every_reader_reads_it_and_every_id_names_one_fact(steps: list[tuple[Any, ...]]) -> None:
    simulation = play(steps)
    facts: dict[str, set[str]] = defaultdict(set)
    for event in simulation.pipeline.said:
        facts[event.id].add(repr(to_json(event)))
    assert all(len(named) == 1 for named in facts.values()), "two facts have one id"
    assert len(facts) == len(simulation.pipeline.said), "one fact was decided twice"
    pairs = decided_twice(simulation)
    assert pairs or not facts
    assert all(first == again for first, again in pairs), "a fact got another id when it was decided again"
    for node in simulation.pipeline.nodes.values():
        assert node.replica.fold.parked == {}
    document = simulation.pipeline.nodes["rollout_control"].replica.fold.documents.get(TARGET, {})
    for book in simulation.console.books():
        assert book.damage is None
    if "rollout" in document:
        seen = simulation.console.book(document["rollout"]["id"])
        assert seen is not None
        state: RolloutState | None = seen.state
        assert state is not None
        assert (state.phase, state.sequence) == (document["rollout"]["phase"], document["rollout"]["sequence"])
