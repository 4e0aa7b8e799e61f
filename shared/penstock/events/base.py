"""What every event has: its source, target and time, the event that caused it, and on whose behalf."""

import re
from datetime import UTC, datetime
from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer, PrivateAttr

from penstock.targets import TargetKey

FIRST_YEAR, LAST_YEAR = 1970, 9000
"""Years of instants: durations and time zones are added to them, which must not leave the calendar."""


def _utc(moment: datetime) -> datetime:
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ValueError(f"is outside the years {FIRST_YEAR} to {LAST_YEAR}")
    return moment.astimezone(UTC)


def rfc3339(moment: datetime) -> str:
    """Return the instant in UTC with microseconds and a `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


Moment = Annotated[AwareDatetime, AfterValidator(_utc), PlainSerializer(rfc3339, return_type=str, when_used="json")]
"""An instant in UTC, written with microseconds and a `Z`."""


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def _printable(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("holds a control character, which CloudEvents and HTTP headers cannot carry")
    return text


Label = Annotated[str, AfterValidator(_printable)]
"""Text that travels in headers of Kafka and HTTP: anything but control characters; over HTTP it is escaped."""


class Value(BaseModel):
    """A frozen part of an event; unknown optional fields are ignored within a major version."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Event(Value):
    """One fact.

    Attributes:
        id: derived from the cause (`penstock.ids`), so the same decision always has the same id.
        source: its producer, a URI reference such as `/penstock/rollout_control` or the CI's own.
        target: `environment/service/flag`; the Kafka key.
        time: when it happened, as its source stamped it. Events that Penstock decides carry the time at which the
            event that caused them was received (never the clock of the copy that decides).
        rollout: id of the rollout it belongs to (CloudEvents `correlationid`).
        cause: id of the event that caused it (CloudEvents `causationid`).
        actor: identity on whose behalf it was published (CloudEvents `authid`); absent where nobody asked.
    """

    ENVELOPE: ClassVar[frozenset[str]] = frozenset(
        {"type", "id", "source", "target", "time", "rollout", "cause", "actor"}
    )

    type: str
    id: Label = Field(min_length=1, max_length=200)
    source: Label = Field(min_length=1, max_length=500)
    target: TargetKey
    time: Moment
    rollout: Label | None = None
    cause: Label | None = None
    actor: Label | None = None

    _received: datetime | None = PrivateAttr(default=None)

    @property
    def received(self) -> datetime | None:
        """When Penstock appended it to the topic or log that it was read from; None where the reader does not know.

        No part of the event as it is written: the topic's record has it, and the input of a decider's record.
        """
        return self._received

    @property
    def at(self) -> datetime:
        """The time that decisions go by: when it was received, and its own time where that is not known."""
        return self._received or self.time

    def received_at(self, moment: datetime) -> Self:
        """Return the event as received at that moment."""
        copy = self.model_copy()
        copy._received = moment
        return copy
