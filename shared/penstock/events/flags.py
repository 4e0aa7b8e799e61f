"""What flag control did to a flag, and which clients have been sent it."""

from typing import Any, Literal

from pydantic import Field

from .base import Event, Value


class ExposureChanged(Event):
    """The flag now exposes another share; said once the flag log has it.

    Attributes:
        entry: id of the decision that asked for it (stage entered, rollback started).
        exposure: share of the audience, 0 to 1; previous: the share before.
        version: the flag's own version, rising by one with every change of its document.
        revision: content hash of the flag set.
    """

    type: Literal["exposure.changed"] = "exposure.changed"
    entry: str
    exposure: float = Field(ge=0, le=1)
    previous: float = Field(ge=0, le=1)
    version: int = Field(ge=1)
    revision: str


class FlagServed(Event):
    """One instance's clients: how many streams have been sent which version (unchained, at most one a change).

    Attributes:
        instance: name of the flag control instance.
        version: the flag's version; revision: the set's.
        streams: clients connected to this set; served: how many of them have been sent it.
        elapsed_ms: from the accepted decision to this report.
    """

    type: Literal["flag.served"] = "flag.served"
    instance: str
    version: int
    revision: str
    streams: int = Field(ge=0)
    served: int = Field(ge=0)
    elapsed_ms: float | None = None


class FlagDiff(Value):
    """One changed path of the flag document."""

    path: str
    before: Any = None
    after: Any = None
