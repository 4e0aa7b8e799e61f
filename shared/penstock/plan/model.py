"""A plan: its audiences and exposures, what guards a release, who approves it, and how it is rolled back."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from penstock.events.verdicts import NoDataReason
from penstock.plan.gates import Gate
from penstock.plan.strict import Strict
from penstock.plan.units import Duration, Fraction
from penstock.targets import Name, Target


class PlanTarget(Strict):
    """What the plan rolls out."""

    environment: Name
    service: Name
    flag: Name

    @property
    def key(self) -> str:
        """`environment/service/flag`."""
        return str(Target(self.environment, self.service, self.flag))


class Cohorts(Strict):
    """How canary is told from baseline.

    Attributes:
        by: `flag_variant`: attributes `feature_flag.key` and `feature_flag.result.variant` on the point;
            `service_version`: `service.version` on the resource, the release's version being the canary.
        canary, baseline: variants of the flag.
        assigned_by: what the split assigns. Requests of a user stay together, so the share of requests need not be the
            exposure where users are assigned; only `request` lets a traffic-split mismatch be told.
        unattributed: largest share of a gate's events that may belong to neither cohort; beyond it, or beyond ten
            times it of the canary's own events, the gate has no data in that window.
    """

    by: Literal["flag_variant", "service_version"] = "flag_variant"
    canary: str = "on"
    baseline: str = "off"
    assigned_by: Literal["user", "request"] = "user"
    unattributed: Fraction = Field(default=0.01, ge=0, le=1)


class Windows(Strict):
    """How telemetry is cut.

    Attributes:
        length: of one window; at least the sources' export interval.
        widen: widen windows that are shorter than the measured export interval; otherwise refuse them.
        warm_up: windows after a change of exposure that are measured but not judged.
    """

    length: Duration = 10.0
    widen: bool = True
    warm_up: int = Field(default=0, ge=0)


class Condition(Strict):
    """One condition on the evaluation context: an attribute equals one of `any_of`, or starts or ends with a text."""

    attribute: str = Field(min_length=1)
    any_of: tuple[str, ...] = ()
    starts_with: str | None = None
    ends_with: str | None = None


class Audience(Strict):
    """Who may get the release at all; all conditions must hold. Empty: everyone."""

    all_of: tuple[Condition, ...] = ()


class Bake(Strict):
    """How many judged windows: no pass before `min`, a decision at `max`."""

    min: int = Field(ge=1)
    max: int = Field(ge=1)


class Approval(Strict):
    """Who must agree before the stage is entered."""

    roles: tuple[str, ...] = Field(min_length=1)
    count: int = Field(default=1, ge=1)


class OnInconclusive(StrEnum):
    """What happens at the end of a bake without a verdict."""

    EXTEND = "extend"
    HOLD = "hold"
    ROLLBACK = "rollback"
    PROMOTE_IF_BOUNDED = "promote_if_bounded"


class NoDataAction(StrEnum):
    """What happens when a gate cannot be judged."""

    HOLD = "hold"
    EXTEND = "extend"
    ROLLBACK = "rollback"
    PAGE = "page"


class Stage(Strict):
    """One step of exposure.

    Attributes:
        exposure: share of the audience that gets the release.
        gates: names of the plan's gates that must pass; all of them by default. All guard, whatever is listed.
        on_inconclusive: `extend` once (by the bake's max), then hold; `promote_if_bounded` goes on where the band of
            every gate that has not passed ends below its hard limit, and holds otherwise.
        on_no_data: by reason; missing reasons hold.
        resume_after: good windows after which a hold for want of data resumes by itself.
    """

    name: Name
    exposure: Fraction = Field(gt=0, le=1)
    audience: Audience = Audience()
    bake: Bake
    gates: tuple[str, ...] | None = None
    approval: Approval | None = None
    on_inconclusive: OnInconclusive = OnInconclusive.EXTEND
    on_no_data: dict[NoDataReason, NoDataAction] = Field(default_factory=dict)
    resume_after: int = Field(default=3, ge=1)


class Soak(Strict):
    """After the last stage: guards stay live, and a holdback of the baseline keeps something to compare with."""

    windows: int = Field(ge=1)
    holdback: Fraction = Field(default=0.02, ge=0, le=0.5)


class Budget(Strict):
    """Allowed probabilities: rolling back a harmless release, and passing one beyond the pass margin."""

    false_rollback: Fraction = Field(default=0.01, gt=0, lt=0.5)
    false_pass: Fraction = Field(default=0.05, gt=0, lt=0.5)
    sensitivity: Literal["tolerance", "estimate"] = "tolerance"


class FlagStep(Strict):
    """Exposure to zero, confirmed by flag control's log."""

    kind: Literal["flag"]
    name: Name = "flag"
    deadline: Duration = 10.0


class WebhookStep(Strict):
    """A signed POST (Standard Webhooks) that must be answered 2xx; the same webhook-id on every attempt.

    Attributes:
        secret: name of the secret in the subscribers file.
    """

    kind: Literal["webhook"]
    name: Name
    url: str = Field(pattern=r"^https?://")
    secret: Name
    deadline: Duration = 30.0


Step = Annotated[FlagStep | WebhookStep, Field(discriminator="kind")]


class Recovery(Strict):
    """What shows that users are well: `windows` without canary requests and within tolerance, before `deadline`."""

    windows: int = Field(default=2, ge=1)
    deadline: Duration = 600.0


class Rollback(Strict):
    """How the release is rolled back.

    Attributes:
        containment: seconds until every connected flag client must have been sent the safe version.
        steps: in order.
        escalate_to: who is called when a deadline passes.
        quarantine_lifters: roles that may lift the version's quarantine.
    """

    containment: Duration = 10.0
    steps: tuple[Step, ...] = (FlagStep(kind="flag"),)
    recovery: Recovery = Recovery()
    escalate_to: tuple[str, ...] = ()
    quarantine_lifters: tuple[str, ...] = ("release-manager",)


class DeadMan(Strict):
    """What happens when no window was judged for `after`."""

    after: Duration = 900.0
    action: Literal["hold", "rollback"] = "hold"


class Message(Strict):
    """Whom to tell: `to` names a subscriber of the subscribers file, `events` are patterns such as `rollback.*`."""

    events: tuple[str, ...] = Field(min_length=1)
    to: Name


class Plan(Strict):
    """A whole plan, version 1."""

    version: Literal[1]
    name: Name
    target: PlanTarget
    owners: tuple[str, ...] = Field(min_length=1)
    description: str = ""
    cohorts: Cohorts = Cohorts()
    windows: Windows = Windows()
    budget: Budget = Budget()
    gates: dict[Name, Gate] = Field(min_length=1)
    stages: tuple[Stage, ...] = Field(min_length=1)
    soak: Soak | None = None
    rollback: Rollback = Rollback()
    dead_man: DeadMan = DeadMan()
    communication: tuple[Message, ...] = ()
