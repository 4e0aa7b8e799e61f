"""Whatever a service can write, every reader can read: each event class, with any of its optional parts absent."""

import typing
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.events import BY_TYPE, Event, Value, from_json, to_json
from penstock.events.cdevents.model import from_cdevent
from penstock.events.cloudevents import from_kafka, parse_http, to_http, to_kafka, to_structured
from tests.support.builders import example


def classes_of(kind: Any) -> set[type[Value]]:
    """Return the models that an annotation names, and those that they are made of."""
    if isinstance(kind, type) and issubclass(kind, Value):
        inner = (classes_of(field.annotation) for field in kind.model_fields.values())
        return {kind}.union(*inner)
    return set().union(*(classes_of(part) for part in typing.get_args(kind)))


MODELS = sorted(set().union(*(classes_of(kind) for kind in BY_TYPE.values())), key=lambda kind: kind.__name__)


def read_by_all(event: Event) -> list[Event]:
    """Return the event as each kind of reader reads it: logs, topics, and the doors of others."""
    _, value, headers = to_kafka(event)
    structured = msgspec.json.encode(to_structured(event))
    names, body = to_http(event)
    over_http = parse_http(body, names.items())[0]
    assert not isinstance(over_http, Exception)
    return [
        from_json(msgspec.json.decode(msgspec.json.encode(to_json(event)))),
        from_kafka(value, list(headers)),
        from_kafka(structured, [("content-type", b"application/cloudevents+json")]),
        from_cdevent(over_http.data),
    ]


def optional_places(kind: Any, document: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the paths in a document of what its class lets be absent."""
    found: list[tuple[str | int, ...]] = []
    if isinstance(document, dict) and isinstance(kind, type) and issubclass(kind, Value):
        for name, field in kind.model_fields.items():
            if name in document:
                if not field.is_required() and name not in {"type", "kind"}:
                    found.append((*path, name))
                found += optional_places(field.annotation, document[name], (*path, name))
    elif isinstance(document, list):
        for place, inner in enumerate(document):
            for part in typing.get_args(kind):
                found += optional_places(part, inner, (*path, place))
    else:
        for part in typing.get_args(kind):
            found += optional_places(part, document, path)
    return found


def without(document: dict[str, Any], places: typing.Iterable[tuple[str | int, ...]]) -> dict[str, Any]:
    """Return the document with these places taken out."""
    whole: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(document))
    for *above, last in sorted(places, key=len, reverse=True):
        inner: Any = whole
        for part in above:
            inner = inner[part]
        inner.pop(last, None)
    return whole


@pytest.mark.parametrize("kind", MODELS, ids=lambda kind: kind.__name__)
def test_what_may_be_none_may_be_absent(kind: type[Value]) -> None:
    """The codec leaves None out, so a field that may be None and has no default is written and never read."""
    for name, field in kind.model_fields.items():
        if type(None) in typing.get_args(field.annotation):
            assert not field.is_required(), f"{kind.__name__}.{name} may be None but has no default"


@pytest.mark.parametrize("event_type", sorted(BY_TYPE))
def test_an_event_without_any_of_its_optional_fields_reads_back(event_type: str) -> None:
    document = without(example(event_type), optional_places(BY_TYPE[event_type], example(event_type)))
    event = from_json(document)
    assert read_by_all(event) == [event] * 4


@pytest.mark.parametrize("event_type", sorted(BY_TYPE))
def test_an_event_built_with_none_where_that_is_allowed_reads_back(event_type: str) -> None:
    kind = BY_TYPE[event_type]
    whole = from_json(example(event_type))
    nones = {n: None for n, f in kind.model_fields.items() if type(None) in typing.get_args(f.annotation)}
    event = kind(**{**{name: getattr(whole, name) for name in kind.model_fields}, **nones})
    assert read_by_all(event) == [event] * 4


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(sorted(BY_TYPE)), st.data())
def test_an_event_with_any_choice_of_its_optional_parts_reads_back(event_type: str, data: st.DataObject) -> None:
    places = optional_places(BY_TYPE[event_type], example(event_type))
    event = from_json(without(example(event_type), data.draw(st.sets(st.sampled_from(places))) if places else ()))
    assert read_by_all(event) == [event] * 4
