"""What rollback execution did, step by step, until users were safe and recovery was seen, or a person was called."""

from enum import StrEnum
from typing import Any, Literal

from pydantic import Field

from penstock.events.base import Event, Moment


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
    """An attempt at a step begins.

    Attributes:
        kind: `flag` or `webhook`; deadline: when the step counts as failed, whatever the attempt.
        rollback: id of the event that started the rollback; version: what is rolled back.
    """

    type: Literal["step.started"] = "step.started"
    kind: str
    deadline: Moment
    rollback: str | None = None
    version: str | None = None


class StepCompleted(StepEvent):
    """A step has had its effect."""

    type: Literal["step.completed"] = "step.completed"
    detail: dict[str, Any] = Field(default_factory=dict)


class StepFailed(StepEvent):
    """A step did not have its effect, or it cannot be known."""

    type: Literal["step.failed"] = "step.failed"
    reason: str
    final: bool = True


class StepTakenOver(StepEvent):
    """Another copy runs the step from this attempt on: the former one did not answer within its lease."""

    type: Literal["step.taken_over"] = "step.taken_over"
    former: str


class Saw(StrEnum):
    """What the executor of a step reports to itself."""

    CLAIMED = "claimed"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REFUSED = "refused"


class StepObserved(StepEvent):
    """A copy takes a step up, or saw how an attempt ended; an input of rollback execution alone, on no public topic.

    Attributes:
        rollback: id of the event that started the rollback.
        saw: `claimed`: this copy will run the step; `failed`: worth another attempt; `refused`: no attempt can succeed.
        status: HTTP status of the answer; reason: why it failed, without secrets.
    """

    type: Literal["step.observed"] = "step.observed"
    rollback: str
    saw: Saw
    status: int | None = None
    reason: str = ""


class ExposureContained(Event):
    """Every connected flag client has been sent the safe version.

    Attributes:
        version: flag version that is safe; streams: clients that were sent it.
        closed: clients that read nothing of it, so their streams were closed; they may have the release until they
            read again.
        seconds: from the decision to the last client; within: the plan's deadline, seconds.
    """

    type: Literal["exposure.contained"] = "exposure.contained"
    version: int
    streams: int = Field(ge=0)
    seconds: float = Field(ge=0)
    within: float
    closed: int | None = Field(default=None, ge=1)


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
