"""Every (phase, event) pair of the rollout state machine, legal or not, against one table."""

from typing import Any

import msgspec
import pytest

from penstock.events import (
    ApprovalAwaited,
    Ground,
    Release,
    RollbackCompleted,
    RollbackStarted,
    RolloutAnnounced,
    RolloutCompleted,
    RolloutEvent,
    RolloutHeld,
    RolloutResumed,
    RolloutSuperseded,
    StageApproved,
    StageEntered,
    StageExtended,
    StageOutline,
    StagePassed,
    VersionQuarantined,
    Why,
)
from penstock.rollout import IllegalTransitionError, Phase, RolloutState, StageState, evolve
from tests.support.metrics.windows import moment

TARGET = "staging/shop/banner"
STAGES = (StageState("canary", 0.25), StageState("half", 0.5, ("release-manager",)))
FIELDS: dict[type[RolloutEvent], dict[str, Any]] = {
    RolloutAnnounced: {
        "release": Release(service="shop", version="2"),
        "plan_name": "banner",
        "plan_text": "",
        "stages": (StageOutline(name="canary", exposure=0.25),),
    },
    ApprovalAwaited: {"stage": "half", "roles": ("release-manager",)},
    StageApproved: {"stage": "half", "missing": 0},
    StageEntered: {"stage": "half", "index": 1, "exposure": 0.5, "bake_min": 5, "bake_max": 9},
    StageExtended: {"stage": "canary", "bake_max": 99},
    StagePassed: {"stage": "canary", "override": True},
    RolloutHeld: {"stage": "canary"},
    RolloutResumed: {"stage": "canary"},
    RolloutCompleted: {},
    RollbackStarted: {"stage": "canary", "exposure": 0.25, "version": "2"},
    RollbackCompleted: {"recovered": True},
    RolloutSuperseded: {"by": "ro-other"},
    VersionQuarantined: {"version": "2"},
}

# The phase after, or absent where the pair is illegal. `passed` states are listed apart.
NEXT: dict[tuple[str, type[RolloutEvent]], Phase] = {
    ("announced", ApprovalAwaited): Phase.AWAITING_APPROVAL,
    ("announced", StageEntered): Phase.BAKING,
    ("awaiting_approval", StageApproved): Phase.AWAITING_APPROVAL,
    ("awaiting_approval", StageEntered): Phase.BAKING,
    ("awaiting_approval", RolloutHeld): Phase.HELD,
    ("baking", StageExtended): Phase.BAKING,
    ("baking", StagePassed): Phase.BAKING,
    ("baking", RolloutHeld): Phase.HELD,
    ("baking passed", ApprovalAwaited): Phase.AWAITING_APPROVAL,
    ("baking passed", StageEntered): Phase.BAKING,
    ("baking passed", StageExtended): Phase.BAKING,
    ("baking passed", StagePassed): Phase.BAKING,
    ("baking passed", RolloutHeld): Phase.HELD,
    ("baking passed", RolloutCompleted): Phase.COMPLETED,
    ("held", RolloutResumed): Phase.BAKING,
    ("held", StagePassed): Phase.BAKING,
    ("soaking", StageExtended): Phase.SOAKING,
    ("soaking", StagePassed): Phase.SOAKING,
    ("soaking", RolloutHeld): Phase.HELD,
    ("soaking passed", StageExtended): Phase.SOAKING,
    ("soaking passed", StagePassed): Phase.SOAKING,
    ("soaking passed", RolloutHeld): Phase.HELD,
    ("soaking passed", RolloutCompleted): Phase.COMPLETED,
    ("rolling_back", VersionQuarantined): Phase.ROLLING_BACK,
    ("rolling_back", RollbackCompleted): Phase.ROLLED_BACK,
    ("completed", RollbackStarted): Phase.ROLLING_BACK,
    **{
        (phase, event): after
        for phase in ("announced", "awaiting_approval", "baking", "baking passed", "held", "soaking", "soaking passed")
        for event, after in ((RollbackStarted, Phase.ROLLING_BACK), (RolloutSuperseded, Phase.SUPERSEDED))
    },
}
PHASES = [*(str(phase) for phase in Phase), "baking passed", "soaking passed"]


def state(name: str) -> RolloutState:
    phase = Phase(name.partition(" ")[0])
    return RolloutState(
        id="ro-1",
        target=TARGET,
        version="2",
        plan_name="banner",
        plan_hash="0" * 64,
        stages=STAGES,
        phase=phase,
        sequence=4,
        announced_at="2030-01-01T00:00:00Z",
        updated_at="2030-01-01T00:00:00Z",
        index=-1 if phase is Phase.ANNOUNCED else 0,
        stage=None if phase is Phase.ANNOUNCED else "canary",
        passed="passed" in name,
        resumes_to=Phase.BAKING if phase is Phase.HELD else None,
        exposure=0.25,
    )


def event(kind: type[RolloutEvent], sequence: int = 5, rollout: str = "ro-1", **changes: Any) -> RolloutEvent:
    return kind(
        id="e",
        source="/t",
        target=TARGET,
        time=moment(),
        rollout=rollout,
        sequence=sequence,
        plan_hash="0" * 64,
        code="t",
        ground=Ground(why=Why.PERSON),
        **{**FIELDS[kind], **changes},
    )


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("kind", [kind for kind in FIELDS if kind is not RolloutAnnounced], ids=lambda k: k.__name__)
def test_each_pair_moves_as_the_table_says(phase: str, kind: type[RolloutEvent]) -> None:
    expected = NEXT.get((phase, kind))
    if expected is None:
        with pytest.raises(IllegalTransitionError, match=phase.partition(" ")[0]):
            evolve(state(phase), event(kind))
    else:
        after = evolve(state(phase), event(kind))
        assert (after.phase, after.sequence) == (expected, 5)


@pytest.mark.parametrize("phase", PHASES)
def test_a_rollout_is_announced_only_where_none_is_under_way(phase: str) -> None:
    announced = event(RolloutAnnounced, sequence=1, rollout="ro-2")
    if Phase(phase.partition(" ")[0]) in {Phase.ROLLED_BACK, Phase.COMPLETED, Phase.SUPERSEDED}:
        assert evolve(state(phase), announced).phase is Phase.ANNOUNCED
    else:
        with pytest.raises(IllegalTransitionError):
            evolve(state(phase), announced)


def test_every_rollout_event_stands_in_the_table() -> None:
    def leaves(kind: type[RolloutEvent]) -> set[type[RolloutEvent]]:
        below = kind.__subclasses__()
        return {leaf for sub in below for leaf in leaves(sub)} if below else {kind}

    assert leaves(RolloutEvent) == set(FIELDS)


def test_a_gap_in_the_sequence_or_another_rollout_is_refused() -> None:
    with pytest.raises(IllegalTransitionError):
        evolve(state("baking"), event(RolloutHeld, sequence=6))
    with pytest.raises(IllegalTransitionError):
        evolve(state("baking"), event(RolloutHeld, rollout="ro-2"))


def test_a_stage_is_not_entered_while_approvals_are_missing() -> None:
    waiting = msgspec.structs.replace(state("awaiting_approval"), missing=1)
    with pytest.raises(IllegalTransitionError):
        evolve(waiting, event(StageEntered))


def test_only_an_override_passes_a_held_stage() -> None:
    with pytest.raises(IllegalTransitionError):
        evolve(state("held"), event(StagePassed, override=False))


def test_exposure_is_zero_from_the_rollback_on() -> None:
    assert evolve(state("baking"), event(RollbackStarted)).exposure == 0.0
