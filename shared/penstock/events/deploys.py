"""What CI announces; the console re-keys it to its target and says it on `deploys`."""

from typing import Literal

from pydantic import Field

from penstock.events.base import Event, Value


class Release(Value):
    """What is being released.

    Attributes:
        service: name of the service.
        version: version as users of the service know it.
        artifact: package URL (purl) with digest, where CI knows it.
        notes: release notes, a link or text.
        changes: commits or change requests, newest first.
        ticket: change ticket.
        risk: `low`, `normal` or `high`, as the author sees it.
        author: identity that asked for the deploy; may not approve it.
    """

    service: str
    version: str = Field(min_length=1, max_length=200)
    artifact: str | None = None
    notes: str | None = None
    changes: tuple[str, ...] = ()
    ticket: str | None = None
    risk: Literal["low", "normal", "high"] = "normal"
    author: str | None = None


class DeployAnnounced(Event):
    """CI has deployed a release dark and asks Penstock to bring it to users.

    Attributes:
        release: what is released.
        plan_name: name of a plan registered for the target; None with `plan_text` None: the target's only plan.
        plan_text: an embedded plan, its exact YAML.
        origin: the CDEvent type and version that carried it in.
        grants: what the announcing identity may do for this target (`announce`, `plan`), as the console found it when
            the release was announced; empty without an identity, None in records of older versions: nothing granted.
        verified_author: author by a claim that the identity provider signed; `release.author` is free text.
    """

    type: Literal["deploy.announced"] = "deploy.announced"
    release: Release
    plan_name: str | None = None
    plan_text: str | None = None
    origin: str | None = None
    grants: tuple[str, ...] | None = None
    verified_author: str | None = None
