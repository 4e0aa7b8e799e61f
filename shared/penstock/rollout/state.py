"""Where a rollout stands: a frozen value that only its recorded events can change."""

from enum import StrEnum

import msgspec

from penstock.events import Ground, Why


class Phase(StrEnum):
    """Phases of a rollout."""

    ANNOUNCED = "announced"
    AWAITING_APPROVAL = "awaiting_approval"
    BAKING = "baking"
    HELD = "held"
    SOAKING = "soaking"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"
    COMPLETED = "completed"
    SUPERSEDED = "superseded"


LIVE = frozenset({Phase.ANNOUNCED, Phase.AWAITING_APPROVAL, Phase.BAKING, Phase.HELD, Phase.SOAKING})
"""Phases in which the rollout may still go either way; guards are live in all of them."""

ENDED = frozenset({Phase.ROLLED_BACK, Phase.COMPLETED, Phase.SUPERSEDED})
"""Phases without a way on, but for a person's rollback of a completed one."""


class StageState(msgspec.Struct, frozen=True, omit_defaults=True):
    """A stage of the rollout: its name, exposure (0 to 1), roles that must approve it, by how many (0: as planned)."""

    name: str
    exposure: float
    approvers: tuple[str, ...] = ()
    approvals: int = 0


class RolloutState(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A rollout after the event with number `sequence`.

    Attributes:
        index: of the present stage in `stages`, -1 before the first, len(stages) in the soak.
        stage: name of the present stage; entry: id of the event that entered it; entered_at: when it was entered, or
            last resumed: windows that begin from then on belong to it.
        exposure: share of the audience that is to have the release now.
        passed: the present stage's gates (or a person) have let it go on.
        extended: the bake has had its extension.
        approved_by: identities that approved the awaited stage; awaited: its name; missing: approvals still to come.
        resumes_to: phase that a held rollout goes back to.
        rollback: id of the event that started the rollback; recovered: None until it is known.
        why: ground of the last transition.
        barred: identities, normalized, that may not approve; unvouched: the plan's own roles do not count.
    """

    id: str
    target: str
    version: str
    plan_name: str
    plan_hash: str
    stages: tuple[StageState, ...]
    phase: Phase
    sequence: int
    announced_at: str
    updated_at: str
    author: str | None = None
    index: int = -1
    stage: str | None = None
    entry: str | None = None
    entered_at: str | None = None
    exposure: float = 0.0
    bake_min: int = 0
    bake_max: int = 0
    passed: bool = False
    extended: bool = False
    awaited: str | None = None
    approved_by: tuple[str, ...] = ()
    missing: int = 0
    resumes_to: Phase | None = None
    began_at: str | None = None
    rollback: str | None = None
    recovered: bool | None = None
    quarantined: bool = False
    superseded_by: str | None = None
    why: str = ""
    barred: tuple[str, ...] = ()
    unvouched: bool = False

    @property
    def live(self) -> bool:
        """Whether it may still go either way."""
        return self.phase in LIVE

    @property
    def awaits_data(self) -> bool:
        """Whether it is held for want of data, and goes on by itself once there is some."""
        return self.phase is Phase.HELD and self.why in {Why.NO_DATA, Why.TELEMETRY_SILENT}

    @property
    def next_stage(self) -> StageState | None:
        """The stage after the present one, None at the end."""
        return self.stages[self.index + 1] if self.index + 1 < len(self.stages) else None


def why_of(ground: Ground) -> str:
    """Return the ground's code."""
    return str(ground.why)
