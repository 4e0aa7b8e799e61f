"""Events of a newer Penstock: their type is unknown here, so they are passed on as they are recorded."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiokafka import ConsumerRecord

from penstock.errors import InvalidError, Problem
from penstock.events import Event
from penstock.events.cdevents.model import PREFIX, own_type
from penstock.events.cloudevents import JSON, from_kafka, parse_kafka, to_structured
from penstock.targets import parse_target

_TYPE = re.compile(re.escape(PREFIX) + r"([a-z]+\.[a-z]+)\.\d+\.\d+\.\d+")
_LONGEST_ID = 200


@dataclass(frozen=True)
class Recorded:
    """An event that this version has no class for.

    Attributes:
        type: noun and participle, as subscribers name it; structured: the CloudEvent, attributes and data as recorded.
    """

    id: str
    type: str
    target: str
    rollout: str | None
    time: datetime
    structured: dict[str, Any]


Deliverable = Event | Recorded


def event_of(record: ConsumerRecord) -> Deliverable:
    """Return the event of a record, of a newer version too.

    Raises:
        InvalidError: it is no event of ours, or one of a type that this version knows, with fields that it cannot be.
    """
    try:
        return from_kafka(record.value or b"", record.headers)
    except InvalidError as error:
        recorded = _recorded(record)
        if recorded is None:
            raise error from None
        return recorded


def structured_of(event: Deliverable) -> dict[str, Any]:
    """Return the event as a structured CloudEvent, JSON values."""
    return event.structured if isinstance(event, Recorded) else to_structured(event)


def _recorded(record: ConsumerRecord) -> Recorded | None:
    try:
        found = parse_kafka(record.value or b"", record.headers)
        attributes = found.attributes
        kind = _TYPE.fullmatch(attributes.get("type", ""))
        if kind is None or own_type(attributes["type"]) is not None:
            return None
        time = datetime.fromisoformat(attributes["time"])
        if not 0 < len(attributes["id"]) <= _LONGEST_ID or time.tzinfo is None:
            raise InvalidError("event", [Problem("", "its id is too long, or its time has no zone")])
        return Recorded(
            id=attributes["id"],
            type=kind[1],
            target=str(parse_target(attributes["subject"])),
            rollout=attributes.get("correlationid"),
            time=time,
            structured={**attributes, "datacontenttype": JSON, "data": found.data},
        )
    except (InvalidError, KeyError, ValueError):
        return None
