"""A rollout in the words of the CDEvents standard, for tools that know services and incidents but no gates."""

from typing import Any

from penstock.events import (
    Event,
    RecoveryVerified,
    Release,
    RollbackCompleted,
    RolloutCompleted,
    StageJudged,
    Word,
    to_json,
)
from penstock.events.cdevents.model import SPEC, Document
from penstock.ids import derive
from penstock.targets import parse_target

_VERSION = "0.3.0"


def to_standard(event: Event, release: Release, former: Release | None) -> Document | None:
    """Return the standard CDEvent that says the same, None where the standard has no word for it.

    A gate's breach is `incident.detected`, recovery `incident.resolved`, a finished rollback `service.rolledback` and a
    finished rollout `service.upgraded`. One rollout is one chain and at most one incident.

    Args:
        release: what is rolled out.
        former: what users go back to; without it there is no `service.rolledback`, which must name its artifact.
    """
    match event:
        case StageJudged(word=Word.BREACH) if event.final:
            said = f"{', '.join(event.blamed) or 'a gate'} breached in stage {event.stage}"
            return _document(event, "incident.detected", _incident(event, release, said))
        case RecoveryVerified():
            return _document(event, "incident.resolved", _incident(event, release, "the service measures as before"))
        case RollbackCompleted() if former is not None:
            return _document(event, "service.rolledback", _service(event, former))
        case RolloutCompleted():
            return _document(event, "service.upgraded", _service(event, release))
        case _:
            return None


def artifact_of(release: Release) -> str:
    """Return the release's package URL, a generic one where CI gave none."""
    return release.artifact or f"pkg:generic/{release.service}@{release.version}"


def _document(event: Event, kind: str, subject: Document) -> Document:
    links: list[Document] = [{"linkType": "PATH", "from": {"contextId": event.id}}]
    if kind in {"service.rolledback", "service.upgraded"}:
        links.append({"linkType": "END", "from": {"contextId": event.id}})
    context: dict[str, Any] = {
        "specversion": SPEC,
        "id": derive("cdevent", event.id, kind),
        "source": event.source,
        "type": f"dev.cdevents.{kind}.{_VERSION}",
        "timestamp": to_json(event)["time"],
        "links": links,
        **({"chainId": event.rollout} if event.rollout else {}),
    }
    return {"context": context, "subject": subject}


def _service(event: Event, release: Release) -> Document:
    environment, service, _ = parse_target(event.target)
    return {"id": service, "content": {"environment": {"id": environment}, "artifactId": artifact_of(release)}}


def _incident(event: Event, release: Release, description: str) -> Document:
    environment, service, _ = parse_target(event.target)
    content = {
        "description": description,
        "environment": {"id": environment},
        "service": {"id": service},
        "artifactId": artifact_of(release),
    }
    return {"id": f"incident-{event.rollout or event.target}", "content": content}
