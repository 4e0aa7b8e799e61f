"""What rollout control decides: every transition of a rollout, with its ground and its numbers."""

from enum import StrEnum
from typing import Any, Literal

from pydantic import Field

from penstock.events.base import Event, Moment, Value
from penstock.events.deploys import Release
from penstock.events.verdicts import GateVerdict, Word


class Why(StrEnum):
    """The ground of a transition."""

    DEPLOYED = "deployed"
    GATES_PASSED = "gates_passed"
    GATE_BREACHED = "gate_breached"
    INCONCLUSIVE = "inconclusive"
    BOUNDED = "bounded"
    NO_DATA = "no_data"
    DATA_RETURNED = "data_returned"
    PERSON = "person"
    OVERRIDE = "override"
    APPROVAL_REQUIRED = "approval_required"
    APPROVED = "approved"
    TELEMETRY_SILENT = "telemetry_silent"
    NEWER_RELEASE = "newer_release"
    FLAG_KILLED = "flag_killed"
    ROLLBACK_EXECUTED = "rollback_executed"
    QUARANTINED = "quarantined"


class Ground(Value):
    """Why a decision was taken.

    Attributes:
        why: the ground; text: a person's reason.
        word: the verdict's word, where a verdict is the ground.
        gates: the gates with their numbers, worst first.
        window_end: end of the window that tipped it.
    """

    why: Why
    text: str | None = None
    word: Word | None = None
    gates: tuple[GateVerdict, ...] = ()
    window_end: Moment | None = None


class StageOutline(Value):
    """A stage as the record needs it without the plan: its name, its exposure (0 to 1), who must approve it.

    Attributes:
        approvers: roles, of the plan or by policy; approvals: how many people, absent: as the plan has it.
    """

    name: str
    exposure: float = Field(ge=0, le=1)
    approvers: tuple[str, ...] = ()
    approvals: int | None = Field(default=None, ge=1)


class RolloutEvent(Event):
    """One transition.

    Attributes:
        rollout: the rollout's id.
        sequence: counts the rollout's events from 1; the expected sequence of commands.
        plan_hash: SHA-256 of the plan's exact bytes.
        code: version of the code that decided; no part of the id.
        ground: why, with the numbers.
    """

    rollout: str  # pyright: ignore[reportGeneralTypeIssues] - fields are given by name, so a default may go
    sequence: int = Field(ge=1)
    plan_hash: str
    code: str
    ground: Ground


class RolloutAnnounced(RolloutEvent):
    """A release will move through this plan on this target.

    Attributes:
        plan_text: the plan's exact text.
        stamped: time that the announcement bore, where it was more than a minute off the time at which it was
            received; decisions go by the latter.
        barred: identities, normalized, that may not approve: the announcer, the authors, who changed the plan.
        unvouched: nobody who may plan for the target has registered or embedded the plan, so its roles do not count.
    """

    type: Literal["rollout.announced"] = "rollout.announced"
    release: Release
    plan_name: str
    plan_text: str
    stages: tuple[StageOutline, ...]
    stamped: Moment | None = None
    barred: tuple[str, ...] | None = None
    unvouched: bool | None = None


class ApprovalAwaited(RolloutEvent):
    """The next stage waits for people; exposure and guards stay as they are."""

    type: Literal["approval.awaited"] = "approval.awaited"
    stage: str
    roles: tuple[str, ...]
    count: int = 1


class StageApproved(RolloutEvent):
    """One person agreed; `missing` more are needed."""

    type: Literal["stage.approved"] = "stage.approved"
    stage: str
    missing: int = Field(ge=0)


class StageEntered(RolloutEvent):
    """Exposure moves to this stage's; its bake begins.

    Attributes:
        stage, index: which; exposure: share of the audience, 0 to 1; audience: conditions as the plan has them.
        bake_min, bake_max: windows.
        soak: True after the last stage, when everyone has it and guards still watch.
    """

    type: Literal["stage.entered"] = "stage.entered"
    stage: str
    index: int = Field(ge=0)
    exposure: float = Field(ge=0, le=1)
    audience: dict[str, Any] = Field(default_factory=dict)
    bake_min: int = Field(ge=1)
    bake_max: int = Field(ge=1)
    soak: bool = False


class StageExtended(RolloutEvent):
    """The bake goes on to `bake_max` windows, evidence carried over."""

    type: Literal["stage.extended"] = "stage.extended"
    stage: str
    bake_max: int = Field(ge=1)


class StagePassed(RolloutEvent):
    """The stage is done: by its gates, or by a person (`override` where they had not passed)."""

    type: Literal["stage.passed"] = "stage.passed"
    stage: str
    override: bool = False


class RolloutHeld(RolloutEvent):
    """The rollout stays at its exposure; guards watch.

    Attributes:
        to: whom the plan calls because of it (`on_no_data: page`).
    """

    type: Literal["rollout.held"] = "rollout.held"
    stage: str
    to: tuple[str, ...] = ()


class RolloutResumed(RolloutEvent):
    """The held stage goes on; its bake starts again."""

    type: Literal["rollout.resumed"] = "rollout.resumed"
    stage: str


class RolloutCompleted(RolloutEvent):
    """The release has reached everyone and the soak is over."""

    type: Literal["rollout.completed"] = "rollout.completed"


class RollbackStarted(RolloutEvent):
    """The release is rolled back: exposure is zero from this record on.

    Attributes:
        stage: where it was, absent before the first stage; exposure: what it had.
        version: what is rolled back; began_at: when the first stage was entered.
    """

    type: Literal["rollback.started"] = "rollback.started"
    stage: str | None = None
    exposure: float
    version: str
    began_at: Moment | None = None


class RollbackCompleted(RolloutEvent):
    """Rollback execution is through; `recovered` says whether the metrics show it."""

    type: Literal["rollback.completed"] = "rollback.completed"
    recovered: bool


class RolloutSuperseded(RolloutEvent):
    """A newer release took its place; exposure is zero until the newer one's first stage."""

    type: Literal["rollout.superseded"] = "rollout.superseded"
    by: str


class VersionQuarantined(RolloutEvent):
    """This version cannot start again on this target until a person with the role lifts it."""

    type: Literal["version.quarantined"] = "version.quarantined"
    version: str


class QuarantineLifted(Event):
    """The version may be deployed again."""

    type: Literal["quarantine.lifted"] = "quarantine.lifted"
    version: str
    reason: str


class PlanRegistered(Event):
    """This plan is now the one of that name for the target; its metrics are watched from here on."""

    type: Literal["plan.registered"] = "plan.registered"
    name: str
    plan_hash: str
    plan_text: str


class DeployRefused(Event):
    """The announced release starts no rollout.

    Attributes:
        reason: code of the ground; detail: the sentence for people, with the next step.
    """

    type: Literal["deploy.refused"] = "deploy.refused"
    version: str
    reason: str
    detail: str


class DeployRepeated(Event):
    """The deploy event had been received before; `rollout` is the one that it started."""

    type: Literal["deploy.repeated"] = "deploy.repeated"


class CommandRefused(Event):
    """A request that the present state does not allow.

    Attributes:
        command: its type; reason: code; detail: sentence with the next step.
        phase, stage, sequence: the state that it met.
    """

    type: Literal["command.refused"] = "command.refused"
    command: str
    reason: Literal["stale", "not_allowed", "no_rollout", "not_approver", "author_may_not_approve", "invalid"]
    detail: str
    phase: str | None = None
    stage: str | None = None
    sequence: int | None = None
