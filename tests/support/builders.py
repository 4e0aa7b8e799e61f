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
    return (EXAMPLES / f"{event_type}.json").read_text()


def example(event_type: str) -> dict[str, Any]:
    """Return the canonical example of an event type, JSON values, fresh."""
    return json.loads(_example_text(event_type))


def an(kind: type[E], **changes: Any) -> E:
    """Return an event of this class: the canonical example with these fields otherwise (None takes one away)."""
    document = example(kind.model_fields["type"].default) | changes
    event = from_json({name: value for name, value in document.items() if value is not None})
    assert isinstance(event, kind)
    return event
