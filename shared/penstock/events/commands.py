"""What people ask for. A request is a fact; whether it is granted is another one, on `rollouts` or `flag-changes`."""

from typing import Literal

from pydantic import Field

from penstock.events.base import Event, Value
from penstock.wire.depth import JsonObject


class Expectation(Value):
    """What the asker saw: a command that meets another state is refused with that state.

    Attributes:
        stage: name of the stage the asker looked at.
        sequence: the rollout's sequence number the asker looked at.
    """

    stage: str | None = None
    sequence: int | None = Field(default=None, ge=0)


class Request(Event):
    """A person's or a machine's request.

    Attributes:
        reason: why, in the asker's words.
        roles: roles of the asker when it was asked, from the tokens file.
        expected: what the asker saw; absent parts are not compared.
    """

    reason: str = Field(min_length=1, max_length=2000)
    roles: tuple[str, ...] = ()
    expected: Expectation = Expectation()


class PromotionRequested(Request):
    """Go on to the next stage now; past a gate that has not passed only with `override`."""

    type: Literal["promotion.requested"] = "promotion.requested"
    override: bool = False


class HoldRequested(Request):
    """Stay at the present exposure until resumed."""

    type: Literal["hold.requested"] = "hold.requested"


class ResumeRequested(Request):
    """Go on with the stage that was held."""

    type: Literal["resume.requested"] = "resume.requested"


class RollbackRequested(Request):
    """Roll the release back."""

    type: Literal["rollback.requested"] = "rollback.requested"


class ApprovalGranted(Request):
    """A person with the role that the stage asks for agrees to it."""

    type: Literal["approval.granted"] = "approval.granted"


class PlanSubmitted(Request):
    """Register this plan for its target."""

    type: Literal["plan.submitted"] = "plan.submitted"
    plan_text: str


class LiftRequested(Request):
    """Lift the quarantine of a version."""

    type: Literal["lift.requested"] = "lift.requested"
    version: str


class FlagRequest(Event):
    """A request about a flag, which flag control grants or refuses."""

    reason: str = Field(min_length=1, max_length=2000)
    roles: tuple[str, ...] = ()


class KillRequested(FlagRequest):
    """Switch the flag off for everyone, now. Its id names the kill."""

    type: Literal["kill.requested"] = "kill.requested"


class UndoRequested(FlagRequest):
    """Lift the kill of that id, or go back to what the flag served at that version (exposure stays the rollout's)."""

    type: Literal["undo.requested"] = "undo.requested"
    kill: str | None = None
    version: int | None = Field(default=None, ge=1)


class OptOutRequested(FlagRequest):
    """Never expose users whose `attribute` is one of `values`; `remove` takes them off the list again."""

    type: Literal["opt_out.requested"] = "opt_out.requested"
    attribute: str = Field(default="targetingKey", min_length=1, max_length=200)
    values: tuple[str, ...] = Field(min_length=1, max_length=1000)
    remove: bool = False


class FlagSubmitted(FlagRequest):
    """Define the flag: variants, segments, split, lifecycle (docs/flags.md)."""

    type: Literal["flag.submitted"] = "flag.submitted"
    definition: JsonObject


class ArchiveRequested(FlagRequest):
    """End the flag's life: serve `variant` for good."""

    type: Literal["archive.requested"] = "archive.requested"
    variant: str
