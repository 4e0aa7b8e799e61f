"""What flag control did to a flag, and which clients have been sent it."""

from typing import Any, Literal

from pydantic import Field

from penstock.events.base import Event, Moment, Value


class FlagLifecycle(Value):
    """Whose the flag is and when it should go.

    Attributes:
        kind: release, experiment, operational, kill-switch or permission.
        created: ISO 8601 day or moment; expires: as it was set or as it follows from the kind, absent for never.
    """

    kind: str
    owner: str | None = None
    created: str | None = None
    expires: Moment | None = None
    ticket: str | None = None


class FlagDefinition(Value):
    """What the flag is from here on.

    Attributes:
        variants: value by name; on, off: those of the release and of the baseline; segments: their names.
    """

    variants: dict[str, Any]
    on: str
    off: str
    segments: tuple[str, ...] = ()
    lifecycle: FlagLifecycle


class FlagFact(Event):
    """What is said of a flag at one of its versions.

    Attributes:
        version: the flag's own version, rising by one with every change, also where clients see no difference yet.
        revision: content hash of the flag's document.
        release: version of the release whose rollout last had the flag, absent before the first.
    """

    version: int = Field(ge=1)
    revision: str
    release: str | None = None


class ExposureChanged(FlagFact):
    """The flag now exposes another share; said once the flag log has it.

    Attributes:
        entry: id of the decision that asked for it (stage entered, rollback started).
        exposure: share of the audience, 0 to 1; previous: the share before.
        definition: where a rollout takes the flag over, which may have made or changed it.
    """

    type: Literal["exposure.changed"] = "exposure.changed"
    entry: str
    exposure: float = Field(ge=0, le=1)
    previous: float = Field(ge=0, le=1)
    definition: FlagDefinition | None = None


class FlagServed(Event):
    """One instance's clients: how many streams have been sent which version (unchained, at most one a change).

    Attributes:
        instance: name of the flag control instance.
        version: the flag's version; revision: the set's.
        streams: clients connected to this set; served: how many of them have been sent it.
        elapsed_ms: from the accepted decision to this report.
        closed: clients closed since the change because they read nothing of it; they are not among `streams`.
    """

    type: Literal["flag.served"] = "flag.served"
    instance: str
    version: int
    revision: str
    streams: int = Field(ge=0)
    served: int = Field(ge=0)
    elapsed_ms: float | None = None
    closed: int | None = Field(default=None, ge=1)


class FlagDiff(Value):
    """One changed path of the flag document."""

    path: str
    before: Any = None
    after: Any = None


class FlagKilled(FlagFact):
    """The flag is off for everyone, whatever its rollout says, until `kill` is lifted by that name.

    Attributes:
        kill: id of the request; exposure: what the flag exposed before.
    """

    type: Literal["flag.killed"] = "flag.killed"
    kill: str
    reason: str
    exposure: float = Field(ge=0, le=1)


class KillLifted(FlagFact):
    """The kill is lifted; exposure is what the present rollout and its quarantine leave it."""

    type: Literal["kill.lifted"] = "kill.lifted"
    kill: str
    reason: str
    exposure: float = Field(ge=0, le=1)


class FlagEdited(FlagFact):
    """A person changed the flag beside any rollout.

    Attributes:
        what: `definition`, `opt_out` or `undo`; diff: what clients are served otherwise, path by path, and, below
            `definition` and `opted_out`, what else is defined otherwise.
        definition: as it is after the change, by any way in which the change was requested.
    """

    type: Literal["flag.edited"] = "flag.edited"
    what: Literal["definition", "opt_out", "undo"]
    reason: str
    diff: tuple[FlagDiff, ...] = ()
    definition: FlagDefinition | None = None


class FlagArchived(FlagFact):
    """The flag's work is done: `variant` is served for good, and its key is never used again."""

    type: Literal["flag.archived"] = "flag.archived"
    variant: str
    reason: str
    definition: FlagDefinition | None = None


class FlagStale(Event):
    """The flag should go: `rule` says why, `since` from when; said weekly until it is archived or made permanent."""

    type: Literal["flag.stale"] = "flag.stale"
    rule: Literal["expired", "settled"]
    since: Moment
    owner: str | None = None


class EditRefused(Event):
    """A request about the flag that its present state does not allow.

    Attributes:
        request: its type; reason: code; detail: the sentence for people, with the next step.
    """

    type: Literal["edit.refused"] = "edit.refused"
    request: str
    reason: Literal["invalid", "not_allowed", "unknown"]
    detail: str
