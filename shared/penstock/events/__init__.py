"""The vocabulary: every event that Penstock publishes or receives, as one closed union discriminated by `type`."""

from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from penstock.errors import InvalidError
from penstock.events.base import Event, Moment, Value
from penstock.events.commands import (
    ApprovalGranted,
    ArchiveRequested,
    Expectation,
    FlagRequest,
    FlagSubmitted,
    HoldRequested,
    KillRequested,
    LiftRequested,
    OptOutRequested,
    PlanSubmitted,
    PromotionRequested,
    Request,
    ResumeRequested,
    RollbackRequested,
    UndoRequested,
)
from penstock.events.deliveries import DeliveryFailed, DeliverySucceeded
from penstock.events.deploys import DeployAnnounced, Release
from penstock.events.flags import (
    EditRefused,
    ExposureChanged,
    FlagArchived,
    FlagDefinition,
    FlagDiff,
    FlagEdited,
    FlagKilled,
    FlagLifecycle,
    FlagServed,
    FlagStale,
    KillLifted,
)
from penstock.events.metrics import (
    Closing,
    Cohort,
    Count,
    Doubt,
    ExplicitHistogram,
    ExponentialHistogram,
    Gauge,
    Halves,
    Measure,
    Missing,
    Outside,
    Ratio,
    Unattributed,
    WindowClosed,
    WindowsRefused,
)
from penstock.events.rollbacks import (
    ExposureContained,
    RecoveryVerified,
    RollbackEscalated,
    RollbackExecuted,
    Saw,
    StepCompleted,
    StepFailed,
    StepObserved,
    StepStarted,
    StepTakenOver,
)
from penstock.events.rollouts import (
    ApprovalAwaited,
    CommandRefused,
    DeployRefused,
    DeployRepeated,
    Ground,
    PlanRegistered,
    QuarantineLifted,
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
from penstock.events.timers import TimerFired
from penstock.events.verdicts import Authority, GateVerdict, NoDataReason, Side, StageJudged, Word
from penstock.wording.problems import problems_of

AnyEvent = Annotated[
    DeployAnnounced
    | PromotionRequested
    | HoldRequested
    | ResumeRequested
    | RollbackRequested
    | ApprovalGranted
    | PlanSubmitted
    | LiftRequested
    | KillRequested
    | UndoRequested
    | OptOutRequested
    | FlagSubmitted
    | ArchiveRequested
    | WindowClosed
    | WindowsRefused
    | StageJudged
    | RolloutAnnounced
    | ApprovalAwaited
    | StageApproved
    | StageEntered
    | StageExtended
    | StagePassed
    | RolloutHeld
    | RolloutResumed
    | RolloutCompleted
    | RollbackStarted
    | RollbackCompleted
    | RolloutSuperseded
    | VersionQuarantined
    | QuarantineLifted
    | PlanRegistered
    | DeployRefused
    | DeployRepeated
    | CommandRefused
    | ExposureChanged
    | FlagKilled
    | KillLifted
    | FlagEdited
    | FlagArchived
    | FlagStale
    | EditRefused
    | FlagServed
    | StepStarted
    | StepCompleted
    | StepFailed
    | StepTakenOver
    | StepObserved
    | ExposureContained
    | RecoveryVerified
    | RollbackEscalated
    | RollbackExecuted
    | DeliverySucceeded
    | DeliveryFailed
    | TimerFired,
    Field(discriminator="type"),
]
"""Every event; its JSON Schema is the frozen contract."""

ADAPTER: TypeAdapter[Event] = TypeAdapter(AnyEvent)


def _classes() -> dict[str, type[Event]]:
    union = AnyEvent.__origin__.__args__  # type: ignore[attr-defined]
    return {member.model_fields["type"].default: member for member in union}


BY_TYPE: dict[str, type[Event]] = _classes()
"""Event class by its `noun.participle`."""


def to_json(event: Event) -> dict[str, Any]:
    """Return the event as plain JSON values; absent optional fields are left out."""
    return event.model_dump(mode="json", exclude_none=True)


def from_json(document: Any) -> Event:
    """Return the event of `to_json`'s form.

    Raises:
        InvalidError: unknown type, or fields that break the contract; every problem is listed.
    """
    try:
        return ADAPTER.validate_python(document, strict=False)
    except ValidationError as error:
        kind = document.get("type") if isinstance(document, dict) else None
        raise InvalidError(f"event {kind!r}", problems_of(error)) from None


__all__ = [
    "ADAPTER",
    "BY_TYPE",
    "AnyEvent",
    "ApprovalAwaited",
    "ApprovalGranted",
    "ArchiveRequested",
    "Authority",
    "Closing",
    "Cohort",
    "CommandRefused",
    "Count",
    "DeliveryFailed",
    "DeliverySucceeded",
    "DeployAnnounced",
    "DeployRefused",
    "DeployRepeated",
    "Doubt",
    "EditRefused",
    "Event",
    "Expectation",
    "ExplicitHistogram",
    "ExponentialHistogram",
    "ExposureChanged",
    "ExposureContained",
    "FlagArchived",
    "FlagDefinition",
    "FlagDiff",
    "FlagEdited",
    "FlagKilled",
    "FlagLifecycle",
    "FlagRequest",
    "FlagServed",
    "FlagStale",
    "FlagSubmitted",
    "GateVerdict",
    "Gauge",
    "Ground",
    "Halves",
    "HoldRequested",
    "KillLifted",
    "KillRequested",
    "LiftRequested",
    "Measure",
    "Missing",
    "Moment",
    "NoDataReason",
    "OptOutRequested",
    "Outside",
    "PlanRegistered",
    "PlanSubmitted",
    "PromotionRequested",
    "QuarantineLifted",
    "Ratio",
    "RecoveryVerified",
    "Release",
    "Request",
    "ResumeRequested",
    "RollbackCompleted",
    "RollbackEscalated",
    "RollbackExecuted",
    "RollbackRequested",
    "RollbackStarted",
    "RolloutAnnounced",
    "RolloutCompleted",
    "RolloutEvent",
    "RolloutHeld",
    "RolloutResumed",
    "RolloutSuperseded",
    "Saw",
    "Side",
    "StageApproved",
    "StageEntered",
    "StageExtended",
    "StageJudged",
    "StageOutline",
    "StagePassed",
    "StepCompleted",
    "StepFailed",
    "StepObserved",
    "StepStarted",
    "StepTakenOver",
    "TimerFired",
    "Unattributed",
    "UndoRequested",
    "Value",
    "VersionQuarantined",
    "Why",
    "WindowClosed",
    "WindowsRefused",
    "Word",
    "from_json",
    "to_json",
]
