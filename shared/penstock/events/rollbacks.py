"""What rollback execution did, step by step, until users were safe and recovery was seen, or a person was called."""

from typing import Any, Literal

from pydantic import Field

from .base import Event, Moment


class StepEvent(Event):
    """A step of the plan's rollback.

    Attributes:
        step: its name; index its place in the plan; attempt counts from 1.
        executor: the copy that runs it.
    """

    step: str
    index: int = Field(ge=0)
    attempt: int = Field(default=1, ge=1)
    executor: str


class StepStarted(StepEvent):
    """A step begins; deadline is when it counts as failed."""

    type: Literal["step.started"] = "step.started"
    kind: str
    deadline: Moment


class StepCompleted(StepEvent):
    """A step has had its effect."""

    type: Literal["step.completed"] = "step.completed"
    detail: dict[str, Any] = Field(default_factory=dict)


class StepFailed(StepEvent):
    """A step did not have its effect, or it cannot be known."""

    type: Literal["step.failed"] = "step.failed"
    reason: str
    final: bool = True


class ExposureContained(Event):
    """Every connected flag client has been sent the safe version.

    Attributes:
        version: flag version that is safe; streams: clients that were sent it.
        seconds: from the decision to the last client; within: the plan's deadline, seconds.
    """

    type: Literal["exposure.contained"] = "exposure.contained"
    version: int
    streams: int = Field(ge=0)
    seconds: float = Field(ge=0)
    within: float


class RecoveryVerified(Event):
    """No canary requests any more, and the service measures like before the rollout.

    Attributes:
        windows: ids of the windows that show it.
    """

    type: Literal["recovery.verified"] = "recovery.verified"
    windows: tuple[str, ...]


class RollbackEscalated(Event):
    """A deadline passed, or an outcome cannot be known: a person is needed.

    Attributes:
        what: `containment`, `step` or `recovery`; reason: the words for the person; to: whom the plan names.
    """

    type: Literal["rollback.escalated"] = "rollback.escalated"
    what: Literal["containment", "step", "recovery"]
    step: str | None = None
    reason: str
    to: tuple[str, ...] = ()


class RollbackExecuted(Event):
    """All steps done, containment measured, recovery verified: nothing is left to do."""

    type: Literal["rollback.executed"] = "rollback.executed"
    contained_seconds: float | None = None
    recovered: bool
