"""Random sequences of requests under random rollouts: nobody is served a variant beyond what the rollout allows."""

import os
import random
from dataclasses import dataclass, field
from typing import Any

import pytest

from penstock.chain import Document
from penstock.chain.document import canonical
from penstock.events import (
    ArchiveRequested,
    EditRefused,
    Event,
    FlagSubmitted,
    KillRequested,
    OptOutRequested,
    RollbackStarted,
    RolloutAnnounced,
    RolloutCompleted,
    RolloutSuperseded,
    StageEntered,
    UndoRequested,
)
from services.flag_control.decide import decide
from services.flag_control.evaluation.bucketing import Bucketing
from services.flag_control.evaluation.evaluator import Evaluator, context_of
from services.flag_control.flag.change import effective_exposure
from services.flag_control.flag.exposure import flag_document
from services.flag_control.flag.state import FlagState, Reach, load
from tests.support.builders import an

TARGET = "production/checkout/new-payment-form"
STAFF = "@example.com"
CONTEXTS = [
    {"targetingKey": f"user-{number}", "email": f"u{number}{STAFF if number % 3 else '@other.org'}"}
    for number in range(40)
] + [{"email": f"nobody{STAFF}"}]
NAMES = ("off", "on", "a", "b")
ANNOUNCED = an(RolloutAnnounced, target=TARGET)


@dataclass
class Flag:
    """A flag, and what its rollouts allow, kept beside the code under test.

    Attributes:
        phase: `free` (no rollout had it), `live`, `released`, or `back` (rolled back or superseded).
        baseline: the value that everyone may be served; allowed: share of users beyond it; before: what each user was
            served of the former release when the rollout was announced: nothing moves before its first stage.
    """

    document: Document = field(default_factory=dict)
    phase: str = "free"
    baseline: Any = None
    allowed: float = 0.0
    audience: Document = field(default_factory=dict)
    before: list[Any] = field(default_factory=list)
    rollout: int = 0
    archived: bool = False
    number: int = 0

    @property
    def state(self) -> FlagState:
        return load(self.document)

    def decide(self, kind: type[Event], **fields: Any) -> list[Event]:
        self.number += 1
        event = an(kind, **{"id": f"e{self.number}", "target": TARGET, "rollout": f"ro-{self.rollout}", **fields})
        decision = decide(TARGET, self.document, event)
        self.document = decision.document
        return list(decision.events)

    def served(self, state: FlagState | None = None) -> list[Any]:
        evaluator = Evaluator({"flag": flag_document(TARGET, state or self.state)}, {"flag": Bucketing.V3})
        details = (evaluator.resolve("flag", context_of(context)) for context in CONTEXTS)
        return [canonical(one.value) for one in details]

    def ramp(self) -> list[bool]:
        """Whether the stage, alone, exposes each user."""
        state = self.state
        plain = FlagState(
            version=1,
            definition=type(state.definition)(salt=state.definition.salt, slice=state.definition.slice),
            reach=Reach(self.allowed, self.audience, "entry"),
        )
        return [value == canonical(True) for value in self.served(plain)]


def a_definition(choose: random.Random) -> Document:
    values = choose.sample(range(100), len(NAMES))
    off, on = choose.sample(NAMES, 2)
    found: Document = {"variants": dict(zip(NAMES, values, strict=True)), "off": off, "on": on}
    if choose.random() < 0.5:
        found["segments"] = {"staff": [{"attribute": "email", "ends_with": STAFF}]}
        found["pins"] = {"staff": choose.choice(NAMES)}
    if choose.random() < 0.2:
        found["split"] = {name: 1 for name in NAMES if name != off}
    if choose.random() < 0.2:
        found["targeting"] = {"if": [{"ends_with": [{"var": "email"}, STAFF]}, choose.choice(NAMES), off]}
    return found


def edit(flag: Flag, choose: random.Random) -> None:
    """Change a part of the definition, or all of it."""
    now = flag.document.get("definition", {})
    whole = a_definition(choose)
    part = choose.choice([*whole, "all"])
    document = whole if part == "all" or not now else {**now, part: whole[part]}
    if "pins" in document:
        document["segments"] = {"staff": [{"attribute": "email", "ends_with": STAFF}]}
    flag.decide(FlagSubmitted, definition=document)


def announce(flag: Flag, choose: random.Random) -> None:
    canary, baseline = choose.sample(NAMES, 2)
    cohorts = f"cohorts: {{canary: '{canary}', baseline: '{baseline}'}}\n"
    before = flag.served() if flag.phase == "released" else []
    flag.rollout += 1
    reported = flag.decide(RolloutAnnounced, plan_text=ANNOUNCED.plan_text + cohorts, release=ANNOUNCED.release)
    if any(isinstance(one, EditRefused) for one in reported):
        flag.rollout -= 1  # the flag stays with the former one
        return
    baseline = canonical(flag.state.definition.variants[flag.state.definition.off])
    assert flag.phase != "back" or baseline == flag.baseline, "everyone would be moved to another value unapproved"
    flag.phase, flag.allowed, flag.before, flag.baseline = "live", 0.0, before, baseline


def rollout_step(flag: Flag, choose: random.Random) -> None:
    step = choose.choice(("announce", "stage", "stage", "complete", "back", "superseded"))
    if step == "announce":
        announce(flag, choose)
    elif flag.phase == "live" and step == "stage":
        flag.allowed = choose.choice((0.05, 0.5, 1.0))
        flag.audience = choose.choice(({}, {"all_of": [{"attribute": "email", "ends_with": STAFF}]}))
        flag.before = []
        flag.decide(StageEntered, exposure=flag.allowed, audience=flag.audience)
    elif flag.phase == "live" and step == "complete" and flag.allowed:
        flag.phase = "released"
        flag.decide(RolloutCompleted)
    elif flag.phase in ("live", "released") and step in ("back", "superseded"):
        definition = flag.state.definition
        flag.phase, flag.allowed, flag.before = "back", 0.0, []
        flag.baseline = canonical(definition.variants[definition.off])
        flag.decide(RollbackStarted if step == "back" else RolloutSuperseded)


def request(flag: Flag, choose: random.Random) -> None:
    match choose.choice(("edit", "edit", "edit", "undo", "archive", "kill", "lift", "opt-out", "opt-in")):
        case "edit":
            edit(flag, choose)
        case "undo":
            flag.decide(UndoRequested, kill=None, version=choose.randint(1, max(1, flag.state.version)))
        case "archive" if choose.random() < 0.3:
            variant, variants = choose.choice(NAMES), flag.state.definition.variants
            reported = flag.decide(ArchiveRequested, variant=variant)
            granted = not any(isinstance(one, EditRefused) for one in reported)
            if granted and flag.phase == "back":
                assert canonical(variants[variant]) == flag.baseline, "the archive would bring the release back"
            flag.archived |= granted
        case "kill":
            flag.decide(KillRequested)
        case "lift":
            flag.decide(UndoRequested, kill=next((kill.id for kill in flag.state.kills), "none"), version=None)
        case word:
            flag.decide(OptOutRequested, attribute="email", values=[f"u1{STAFF}"], remove=word == "opt-in")


def check(flag: Flag) -> None:
    if not flag.document or flag.phase in ("free", "released"):
        return
    if flag.archived and flag.phase == "live":
        return  # archived before this rollout, which the key was refused to
    ramp = flag.ramp() if flag.allowed else [False] * len(CONTEXTS)
    for index, value in enumerate(flag.served()):
        kept = flag.before and flag.before[index] == value
        assert value == flag.baseline or ramp[index] or kept, (flag.phase, CONTEXTS[index], value, flag.state)
    assert flag.phase != "back" or effective_exposure(flag.state) == 0


@pytest.mark.parametrize("seed", range(int(os.environ.get("PENSTOCK_TEST_SEEDS", "120"))))
def test_nobody_is_served_a_variant_beyond_the_stage_or_after_a_rollback(seed: int) -> None:
    choose = random.Random(seed)
    flag = Flag()
    if choose.random() < 0.7:
        edit(flag, choose)
    for _ in range(40):
        (rollout_step if choose.random() < 0.4 else request)(flag, choose)
        check(flag)


def seen(flag: Flag) -> set[str]:
    return {flag.phase, *(["archived"] if flag.archived else []), *(["killed"] if flag.state.kills else [])}


def test_the_sequences_reach_every_state() -> None:
    reached: set[str] = set()
    for seed in range(60):
        choose, flag = random.Random(seed), Flag()
        for _ in range(40):
            (rollout_step if choose.random() < 0.4 else request)(flag, choose)
            reached |= seen(flag)
    assert reached == {"free", "live", "released", "back", "archived", "killed"}
