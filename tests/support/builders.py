"""Builders of events with defaults: the canonical example of the type, and what a test wants otherwise."""

import json
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import penstock.events
from penstock.events import Event, from_json

E = TypeVar("E", bound=Event)

EXAMPLES = Path(penstock.events.__file__).parent / "examples"


@cache
def _example_text(event_type: str) -> str:
    (path,) = EXAMPLES.glob(f"*/{event_type}.json")
    return path.read_text()


def example(event_type: str) -> dict[str, Any]:
    """Return the canonical example of an event type, JSON values, fresh."""
    return json.loads(_example_text(event_type))


def an(kind: type[E], **changes: Any) -> E:
    """Return an event of this class: the canonical example with these fields otherwise (None takes one away)."""
    document = example(kind.model_fields["type"].default) | changes
    event = from_json({name: value for name, value in document.items() if value is not None})
    assert isinstance(event, kind)
    return event


def deployed(number: int = 1, **custom: str) -> dict[str, Any]:
    """Return the CDEvent that CI sends of deploy `number`; `custom` is what the plan's author adds for Penstock."""
    return {
        "context": {
            "specversion": "0.5.1",
            "id": f"d-{number}",
            "source": "/ci",
            "type": "dev.cdevents.service.deployed.0.3.0",
            "timestamp": "2026-03-02T14:00:00Z",
        },
        "subject": {
            "id": "shop",
            "content": {"environment": {"id": "staging"}, "artifactId": f"pkg:oci/shop@1.{number}"},
        },
        "customData": {"penstock": {"flag": "banner", **custom}},
    }
