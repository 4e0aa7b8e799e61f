"""CDEvents: our events as custom CDEvents, whose form is the value of every Kafka record and webhook we send."""

import re
from typing import Any

from penstock.errors import InvalidError, Problem
from penstock.events import BY_TYPE, Event, RollbackStarted, from_json, to_json

SPEC = "0.5.1"
PREFIX = "dev.cdeventsx.penstock-"
VERSION = "0.1.0"

_OWN = re.compile(r"dev\.cdeventsx\.penstock-([a-z]+\.[a-z]+)\.(\d+)\.\d+\.\d+")
_MAJOR = "0"
_NAMES = {kind.replace("_", ""): kind for kind in BY_TYPE}
# CDEvents types know letters only: `step.taken_over` travels as `penstock-step.takenover`.
_LAST = frozenset({"rollout.completed", "rollout.superseded", "rollback.completed"})
_CONTENT_FREE = Event.ENVELOPE - {"actor"}

Document = dict[str, Any]


def type_of(event: Event) -> str:
    """Return the CDEvents type of one of our events: `dev.cdeventsx.penstock-<noun>.<participle>.0.1.0`."""
    return cdevents_type(event.type)


def cdevents_type(event_type: str) -> str:
    """Return the CDEvents type of an event type of ours."""
    return f"{PREFIX}{event_type.replace('_', '')}.{VERSION}"


def to_cdevent(event: Event) -> Document:
    """Return the event as a custom CDEvent, JSON values: target, rollout and cause in their places."""
    fields = to_json(event)
    context = {
        "specversion": SPEC,
        "id": event.id,
        "source": event.source,
        "type": type_of(event),
        "timestamp": fields["time"],
        **({"chainId": event.rollout} if event.rollout is not None else {}),
        **({"links": _links(event, event.cause)} if event.cause is not None else {}),
    }
    content = {name: value for name, value in fields.items() if name not in _CONTENT_FREE}
    return {"context": context, "subject": {"id": event.target, "content": content}}


def _links(event: Event, cause: str) -> list[Document]:
    links: list[Document] = [{"linkType": "PATH", "from": {"contextId": cause}}]
    if isinstance(event, RollbackStarted):
        links.append({"linkType": "RELATION", "linkKind": "TRIGGER", "target": {"contextId": cause}})
    if event.type in _LAST:
        links.append({"linkType": "END", "from": {"contextId": cause}})
    return links


def own_type(text: str) -> str | None:
    """Return `noun.participle` of our own CDEvents types of this major version, None for anybody else's."""
    match = _OWN.fullmatch(text)
    return _NAMES.get(match[1]) if match is not None and match[2] == _MAJOR else None


def from_cdevent(document: Any) -> Event:
    """Return the event of `to_cdevent`'s form.

    Raises:
        InvalidError: not one of our CDEvents, or fields that break the contract; every problem is listed.
    """
    context = document.get("context") if isinstance(document, dict) else None
    subject = document.get("subject") if isinstance(document, dict) else None
    if not isinstance(context, dict) or not isinstance(subject, dict):
        raise InvalidError("event", [Problem("", "is no CDEvent: `context` and `subject` are missing")])
    kind = own_type(str(context.get("type")))
    content = subject.get("content")
    if kind is None or not isinstance(content, dict):
        raise InvalidError("event", [Problem("context.type", f"{context.get('type')!r} is no event of ours")])
    fields = {
        **content,
        "type": kind,
        "id": context.get("id"),
        "source": context.get("source"),
        "time": context.get("timestamp"),
        "target": subject.get("id"),
        "rollout": context.get("chainId"),
        "cause": _cause(context.get("links")),
    }
    return from_json(fields)


def _cause(links: Any) -> str | None:
    for link in links if isinstance(links, list) else []:
        if isinstance(link, dict) and link.get("linkType") == "PATH" and isinstance(link.get("from"), dict):
            cause = link["from"].get("contextId")
            return cause if isinstance(cause, str) else None
    return None
