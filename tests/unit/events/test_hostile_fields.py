"""Whatever stands in a field, an event is read and can be written again, or is refused with the field's name."""

import re
import urllib.parse
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from penstock.errors import InvalidError, PlanError
from penstock.events import BY_TYPE, Event, from_json, to_json
from penstock.events.cloudevents import from_kafka, header_text, parse_http, to_http, to_kafka
from penstock.plan import load_plan
from penstock.webhooks import sign, verify
from penstock.wire.depth import MOST_LEVELS
from tests.support.builders import example
from tests.support.metrics.windows import moment
from tests.support.plans import SHORT

# No deeper than a flag's definition may be: events repeat parts of it.
_DEEP: Any = 1
for _ in range(MOST_LEVELS - 10):
    _DEEP = [_DEEP]

HOSTILE: dict[str, Any] = {
    "a huge integer": 10**400,
    "more than 64 bits": 2**64,
    "below zero": -1,
    "a huge number": 1.7e308,
    "a small number": -1.7e308,
    "true": True,
    "nothing": "",
    "a null byte": "a\x00b",
    "a line break": "a\r\nb: c",
    "a separator": "a\x1fb",
    "not ASCII": "é😀",
    "long": "x" * 5_000,
    "the last day": "9999-12-31T23:59:59Z",
    "the last day elsewhere": "9999-12-31T23:59:59-12:00",
    "the first day": "0001-01-01T00:00:00+14:00",
    "no zone": "2026-03-02T14:00:00",
    "null": None,
    "a list": [],
    "an object": {},
    "deep": _DEEP,
}


NO_JSON = (
    rb'{"id": "a\ud800b"}',
    b'{"id": NaN}',
    b'{"id": 1e999}',
    b'{"id": Infinity}',
    b'{"id": "\xff"}',
    b"[" * 100_000,
)
"""What no door decodes: half a surrogate pair, no number, bytes that are no text, nesting beyond recursion."""


def places(document: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of every field, list entry and object in a document."""
    if path:
        yield path
    inner = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in inner:
        yield from places(value, (*path, key))


def changed(document: dict[str, Any], path: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    whole: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(document))
    inner: Any = whole
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] = value
    return whole


def is_written_and_read(event: Event) -> None:
    written = msgspec.json.encode(to_json(event))
    assert to_json(from_json(msgspec.json.decode(written))) == to_json(event)
    _, value, headers = to_kafka(event)
    assert to_json(from_kafka(value, list(headers))) == to_json(event)
    for name, text in to_http(event)[0].items():
        assert text.isascii(), name
        assert text.isprintable(), name


@pytest.mark.parametrize("event_type", sorted(BY_TYPE))
def test_an_event_with_one_hostile_field_is_refused_or_survives_its_journey(event_type: str) -> None:
    document = example(event_type)
    refused = 0
    for path in places(document):
        if path == ("type",):
            continue
        for name, value in HOSTILE.items():
            try:
                event = from_json(changed(document, path, value))
            except InvalidError:
                refused += 1
                continue
            try:
                is_written_and_read(event)
            except Exception as error:
                raise AssertionError(f"{'.'.join(map(str, path))} = {name}") from error
    assert refused > 50


@pytest.mark.parametrize("body", NO_JSON, ids=range(len(NO_JSON)))
def test_what_is_no_json_value_gets_through_no_door(body: bytes) -> None:
    with pytest.raises(InvalidError, match="is not JSON"):
        from_kafka(body, [])
    with pytest.raises(InvalidError, match="is not JSON"):
        parse_http(body, [])


@pytest.mark.parametrize("name", ["id", "source", "actor", "cause", "rollout"])
@pytest.mark.parametrize("text", ["a\x00b", "a\nb", "a\x1fb", "a\x7fb", "a\x85b"])
def test_what_travels_in_headers_holds_no_control_characters(name: str, text: str) -> None:
    with pytest.raises(InvalidError, match=rf"{name}: .*control character"):
        from_json({**example("deploy.announced"), name: text})


def test_what_is_refused_is_named_and_not_repeated() -> None:
    with pytest.raises(InvalidError) as caught:
        from_json({**example("deploy.announced"), "time": "9999-12-31T23:59:59Z", "id": "secret\x00"})
    assert re.search(r"id: .*\n?.*time: ", str(caught.value), re.DOTALL)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("text", ["ü-1", "a b", 'a"b', "100%", "😀"])
def test_an_id_that_is_not_ascii_is_a_webhook_id_that_subscribers_can_verify(text: str) -> None:
    headers = sign(["whsec_" + "A" * 32], header_text(text), moment(), b"{}")
    assert headers["webhook-id"].isascii()
    assert urllib.parse.unquote(headers["webhook-id"]) == text
    verify(["whsec_" + "A" * 32], headers, b"{}", moment())


@pytest.mark.parametrize("text", ["3654d", "9" * 400 + "d", "99999999h"])
def test_a_duration_that_would_leave_the_calendar_is_refused_at_load(text: str) -> None:
    with pytest.raises(PlanError, match="longer than ten years"):
        load_plan(SHORT.replace("after: 1h", f"after: {text}"))
