"""Definitions that no record, client or calendar could hold are refused: taken, one would end the service."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from penstock.chain import Document
from penstock.chain.document import diff
from penstock.errors import InvalidError
from penstock.events import EditRefused, Event, FlagEdited, FlagStale, FlagSubmitted, TimerFired, from_json, to_json
from services.flag_control.decide import decide
from services.flag_control.evaluation.validate import check_text
from services.flag_control.flag.state import load
from tests.support.builders import an

TARGET = an(FlagSubmitted).target
VARIANTS = {"variants": {"on": "new", "off": "old"}}


def submitted(definition: Document, at: datetime | None = None) -> Event:
    """Return the request as it comes from outside, where a JSON reader has made values of it."""
    document = {**to_json(an(FlagSubmitted)), "definition": definition}
    return from_json(document if at is None else {**document, "time": at.isoformat()})


def refusal(definition: Document) -> str:
    (reported,) = decide(TARGET, {}, submitted(definition)).events
    assert isinstance(reported, EditRefused), reported
    return reported.detail


@pytest.mark.parametrize(
    ("definition", "what"),
    [
        ({"variants": {"on": json.loads('"\\ud800"'), "off": "b"}}, "surrogate"),
        ({"variants": {json.loads('"\\udfff"'): "a", "off": "b"}}, "surrogate"),
        ({**VARIANTS, "metadata": {"owner": json.loads('"x\\ud800"')}}, "surrogate"),
        ({"variants": {"on": json.loads("1e999"), "off": 1.0}}, "too large"),
        ({"variants": {"on": json.loads("NaN"), "off": 1.0}}, "none"),
    ],
)
def test_what_cannot_be_written_again_is_no_event_and_no_flag(definition: Document, what: str) -> None:
    with pytest.raises(InvalidError, match=what):
        submitted(definition)


@pytest.mark.parametrize("value", ['"\\ud800"', "1e999"])
def test_a_flag_file_with_it_is_refused_also_leniently(value: str) -> None:
    text = f'{{"flags": {{"a": {{"state": "ENABLED", "variants": {{"x": {value}}}, "defaultVariant": "x"}}}}}}'
    for lenient in (False, True):
        with pytest.raises(InvalidError, match=r"surrogate|too large"):
            check_text("a file", text, lenient=lenient)


def test_a_null_in_an_object_is_refused_by_its_place_because_no_record_could_keep_it() -> None:
    definition = {"variants": {"on": {"title": {"text": None}}, "off": {}}}
    assert "variants.on.title.text: null" in refusal(definition)
    listed = {"variants": {"on": {"titles": [None]}, "off": {}}}
    decision = decide(TARGET, {}, submitted(listed))
    assert isinstance(decision.events[0], FlagEdited)
    assert diff({}, decision.document), "in a list it can be kept"


@pytest.mark.parametrize("day", ["9999-12-31", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59"])
def test_a_day_at_the_end_of_the_calendar_is_refused(day: str) -> None:
    for field in ("created", "expires"):
        assert f"lifecycle.{field}" in refusal({**VARIANTS, "lifecycle": {field: day}})


@pytest.mark.parametrize("condition", [{"any_of": []}, {"starts_with": ""}, {"any_of": ["x"], "ends_with": ""}])
def test_an_empty_condition_is_refused_because_it_would_hold_for_everyone(condition: Document) -> None:
    segments = {"staff": [{"attribute": "email", **condition}]}
    assert "segments.staff.0" in refusal({**VARIANTS, "segments": segments, "pins": {"staff": "on"}})
    assert "segments.staff.0" in refusal({**VARIANTS, "segments": {"staff": [{"attribute": "", "any_of": ["x"]}]}})


class Flag:
    def __init__(self) -> None:
        self.document: Document = {}

    def apply(self, event: Event) -> list[Event]:
        decision = decide(TARGET, self.document, event)
        self.document = decision.document
        return list(decision.events)

    def due(self) -> TimerFired:
        due = datetime.fromisoformat(load(self.document).timers["stale"])
        return TimerFired(id=f"t-{due}", source="/x", target=TARGET, time=due, timer="stale", due=due)


def test_a_flag_that_expired_years_ago_is_said_to_be_stale_once_and_then_weekly_however_often_it_is_edited() -> None:
    now = datetime(2026, 3, 2, tzinfo=UTC)
    old: dict[str, Any] = {**VARIANTS, "lifecycle": {"created": "2019-01-01"}}
    flag = Flag()
    flag.apply(submitted(old, now))
    assert flag.due().due == now, "not once for each week since 2019"
    (reported,) = flag.apply(flag.due())
    assert isinstance(reported, FlagStale)
    assert flag.due().due == now + timedelta(days=7)
    edited = submitted({**old, "metadata": {"x": 1}}, now + timedelta(days=3))
    flag.apply(edited.model_copy(update={"id": "again"}))
    assert flag.due().due == now + timedelta(days=7)
