"""CDEvents `service.deployed` of any CI: how a deploy reaches Penstock, with our part in `customData`."""

import re
import urllib.parse
from collections.abc import Callable, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from penstock.errors import InvalidError, Problem
from penstock.events import DeployAnnounced, Release
from penstock.events.base import Label, Moment
from penstock.targets import Name, Target, parse_target
from penstock.wording.problems import problems_of

_DEPLOYED = re.compile(r"dev\.cdevents\.service\.deployed\.0\.\d+\.\d+(?:-draft)?")
_SPECS = re.compile(r"0\.[45]\.\d+(?:-draft)?")

Flags = Callable[[str, str], Sequence[str]]
"""Flags of the plans that are registered for an environment and a service."""


class _Theirs(BaseModel):
    """A part of somebody else's document: what is not named here is left alone, for minor versions add fields."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


class Context(_Theirs):
    """`context` of a CDEvent 0.5 (`specversion`) or 0.4 (`version`)."""

    specversion: str | None = None
    version: str | None = None
    id: Label = Field(min_length=1, max_length=200)
    source: Label = Field(min_length=1, max_length=500)
    type: str
    timestamp: Moment
    chain_id: str | None = None


class Reference(_Theirs):
    """Something with an id."""

    id: str = Field(min_length=1)


class Content(_Theirs):
    """Where which artifact was deployed."""

    environment: Reference
    artifact_id: str = Field(min_length=1)


class Subject(_Theirs):
    """The service."""

    id: str = Field(min_length=1)
    content: Content


class Custom(BaseModel):
    """`customData.penstock`: ours, so an unknown key is an error.

    Attributes:
        flag: flag of the target; may be left out where one plan is registered for the service there.
        plan: name of a registered plan; plan_text: an embedded one instead.
        version: of the release; by default the tag or version in the artifact's package URL.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)

    flag: Name | None = None
    plan: str | None = None
    plan_text: str | None = None
    release_notes: str | None = None
    version: str | None = Field(default=None, min_length=1, max_length=200)
    author: str | None = None
    ticket: str | None = None
    risk: Literal["low", "normal", "high"] = "normal"
    changes: tuple[str, ...] = ()


class CustomData(_Theirs):
    """`customData`, which may hold other people's parts beside ours."""

    penstock: Custom = Custom()


class ServiceDeployed(_Theirs):
    """The CDEvent."""

    context: Context
    subject: Subject
    custom_data: CustomData = CustomData()


def is_deployed(document: Any) -> bool:
    """Return whether this is a CDEvent `service.deployed` of a version that is understood."""
    context = document.get("context") if isinstance(document, dict) else None
    return isinstance(context, dict) and _DEPLOYED.fullmatch(str(context.get("type"))) is not None


def from_deployed(document: Any, flags: Flags, actor: str | None = None) -> DeployAnnounced:
    """Return the deploy that a CDEvent announces; its id and source are the CDEvent's.

    Args:
        flags: asked where the CDEvent names no flag.
        actor: identity that sent it.

    Raises:
        InvalidError: with every problem found.
    """
    if not is_deployed(document):
        raise InvalidError("event", [_foreign(document)])
    try:
        event = ServiceDeployed.model_validate(document)
    except ValidationError as error:
        raise InvalidError("service.deployed", problems_of(error)) from None
    custom, content = event.custom_data.penstock, event.subject.content
    problems: list[Problem] = []
    spec = event.context.specversion or event.context.version or ""
    if not _SPECS.fullmatch(spec):
        problems.append(Problem("context.specversion", f"{spec!r} is not supported; CDEvents 0.4 and 0.5 are"))
    version = custom.version or version_of(content.artifact_id)
    if version is None:
        what = "is missing, and subject.content.artifactId carries none: give one of them"
        problems.append(Problem("customData.penstock.version", what))
    if custom.plan and custom.plan_text:
        problems.append(Problem("customData.penstock", "names a plan and embeds another: give one of them"))
    target = _target(content.environment.id, event.subject.id, custom.flag, flags, problems)
    if problems or version is None or target is None:
        raise InvalidError("service.deployed", problems)
    try:
        return _announced(event, target, version, actor)
    except ValidationError as error:
        # What is derived, such as a version that only the artifact's URL carries, has bounds as well.
        raise InvalidError("service.deployed", problems_of(error)) from None


def _announced(event: ServiceDeployed, target: str, version: str, actor: str | None) -> DeployAnnounced:
    custom = event.custom_data.penstock
    return DeployAnnounced(
        id=event.context.id,
        source=event.context.source,
        target=target,
        time=event.context.timestamp,
        actor=actor,
        release=_release(event, version),
        plan_name=custom.plan,
        plan_text=custom.plan_text,
        origin=event.context.type,
    )


def _release(event: ServiceDeployed, version: str) -> Release:
    custom = event.custom_data.penstock
    return Release(
        service=event.subject.id,
        version=version,
        artifact=event.subject.content.artifact_id,
        notes=custom.release_notes,
        changes=custom.changes,
        ticket=custom.ticket,
        risk=custom.risk,
        author=custom.author,
    )


def _target(environment: str, service: str, flag: str | None, flags: Flags, problems: list[Problem]) -> str | None:
    if flag is None:
        known = sorted(set(flags(environment, service)))
        if len(known) != 1:
            what = "several" if known else "no plans"
            hint = f" ({', '.join(known)})" if known else ""
            problems.append(
                Problem(
                    "customData.penstock.flag",
                    f"is missing, and {what} are registered for {environment}/{service}{hint}: name the flag",
                )
            )
            return None
        flag = known[0]
    try:
        return str(parse_target(str(Target(environment, service, flag))))
    except ValueError as error:
        problems.append(Problem("subject", str(error)))
        return None


def _foreign(document: Any) -> Problem:
    context = document.get("context") if isinstance(document, dict) else None
    if not isinstance(context, dict):
        return Problem("context", "is missing: send a CDEvent of type dev.cdevents.service.deployed")
    return Problem("context.type", f"{context.get('type')!r} starts no rollout; dev.cdevents.service.deployed.0.x does")


def version_of(purl: str) -> str | None:
    """Return the version that a package URL carries: its `tag` qualifier, else its version unless that is a digest."""
    rest, _, query = purl.partition("?")
    tags = urllib.parse.parse_qs(query.partition("#")[0]).get("tag")
    if tags:
        return tags[0]
    version = urllib.parse.unquote(rest.partition("#")[0].rpartition("/")[2].partition("@")[2])
    return version if version and ":" not in version else None
