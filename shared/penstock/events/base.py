"""What every event has: who says it, about which target, when, because of what, on whose behalf."""

from datetime import UTC, datetime
from typing import Annotated, ClassVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer

from penstock.targets import TargetKey


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


Moment = Annotated[AwareDatetime, AfterValidator(_utc), PlainSerializer(_rfc3339, return_type=str, when_used="json")]
"""An instant in UTC, written with microseconds and a `Z`."""


class Value(BaseModel):
    """A frozen part of an event; unknown optional fields are ignored within a major version."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Event(Value):
    """One fact.

    Attributes:
        id: derived from the cause (`penstock.ids`), so the same decision always has the same id.
        source: who says it, a URI reference such as `/penstock/rollout_control` or the CI's own.
        target: `environment/service/flag`; the Kafka key.
        time: when it happened, by the clock of its cause (never of the copy that happens to decide).
        rollout: id of the rollout it belongs to (CloudEvents `correlationid`).
        cause: id of the event that caused it (CloudEvents `causationid`).
        actor: identity on whose behalf it was said (CloudEvents `authid`); absent where nobody asked.
    """

    ENVELOPE: ClassVar[frozenset[str]] = frozenset(
        {"type", "id", "source", "target", "time", "rollout", "cause", "actor"}
    )

    type: str
    id: str = Field(min_length=1, max_length=200)
    source: str = Field(min_length=1, max_length=500)
    target: TargetKey
    time: Moment
    rollout: str | None = None
    cause: str | None = None
    actor: str | None = None
