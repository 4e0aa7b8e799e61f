"""The CloudEvents codec, held against the published Python SDK and against what real producers send."""

import json

import pytest
from cloudevents.core.bindings import http as sdk_http
from cloudevents.core.bindings import kafka as sdk_kafka

from penstock.errors import InvalidError
from penstock.events import BY_TYPE, from_json
from penstock.events.cdevents.model import to_cdevent
from penstock.events.cloudevents import (
    BATCH,
    STRUCTURED,
    CloudEvent,
    from_kafka,
    parse_http,
    parse_kafka,
    to_http,
    to_kafka,
    to_structured,
)
from tests.support.builders import example

TYPES = sorted(BY_TYPE)


def record(event):
    key, value, headers = to_kafka(event, {"traceparent": b"00-1-2-01"})
    return sdk_kafka.KafkaMessage(headers=dict(headers), key=key, value=value)


@pytest.mark.parametrize("event_type", TYPES)
def test_a_record_of_ours_is_what_the_sdk_reads(event_type):
    event = from_json(example(event_type))
    theirs = sdk_kafka.from_binary_event(record(event))
    assert theirs.get_id() == event.id
    assert theirs.get_source() == event.source
    assert theirs.get_type() == f"dev.cdeventsx.penstock-{event_type.replace('_', '')}.0.1.0"
    assert theirs.get_time() == event.time
    assert theirs.get_subject() == event.target == theirs.get_extension("partitionkey")
    assert theirs.get_extension("correlationid") == event.rollout
    assert theirs.get_extension("causationid") == event.cause
    assert theirs.get_extension("authid") == event.actor
    assert theirs.get_data() == to_cdevent(event)


@pytest.mark.parametrize("event_type", TYPES)
def test_every_mode_reads_back_as_the_same_event(event_type):
    event = from_json(example(event_type))
    key, value, headers = to_kafka(event)
    assert key == event.target.encode()
    assert from_kafka(value, headers) == event
    structured = json.dumps(to_structured(event)).encode()
    assert from_kafka(structured, [("content-type", STRUCTURED.encode())]) == event
    assert from_kafka(structured, []) == event
    assert from_kafka(json.dumps(to_cdevent(event)).encode(), []) == event


def test_what_the_sdk_writes_over_http_is_what_we_read():
    event = from_json(example("rollback.started")).model_copy(update={"actor": 'Jürgen "J" 100%'})
    headers, body = to_http(event)
    theirs = sdk_http.from_http_event(sdk_http.HTTPMessage(headers=headers, body=body))
    assert theirs.get_extension("authid") == 'Jürgen "J" 100%'
    for message in (sdk_http.to_binary_event(theirs), sdk_http.to_structured_event(theirs)):
        (ours,) = parse_http(message.body, message.headers.items())
        assert isinstance(ours, CloudEvent)
        assert ours.attributes["authid"] == 'Jürgen "J" 100%'
        assert ours.data == to_cdevent(event)


def test_a_structured_record_that_repeats_its_headers_is_read_once():
    event = from_json(example("rollback.started"))
    headers = [("content-type", STRUCTURED.encode()), ("ce_type", b"something.else"), ("ce_id", b"other")]
    assert from_kafka(json.dumps(to_structured(event)).encode(), headers) == event


def test_foreign_headers_that_are_null_or_no_text_do_not_matter():
    event = from_json(example("rollback.started"))
    _, value, headers = to_kafka(event)
    assert from_kafka(value, [*headers, ("x-null", None), ("x-bytes", b"\xff\xfe")]) == event


def test_an_attribute_that_is_no_text_is_an_error_that_names_it():
    event = from_json(example("rollback.started"))
    _, value, headers = to_kafka(event)
    with pytest.raises(InvalidError, match="ce_subject: is not UTF-8"):
        parse_kafka(value, [*headers, ("ce_subject", b"\xff")])


def test_a_batch_answers_for_each_of_its_members():
    good = to_structured(from_json(example("rollback.started")))
    bad = {"specversion": "1.0", "id": "x"}
    first, second, third = parse_http(
        json.dumps([good, bad, 7]).encode(), [("Content-Type", f"{BATCH}; charset=utf-8")]
    )
    assert isinstance(first, CloudEvent)
    assert isinstance(second, InvalidError)
    assert [problem.where for problem in second.problems] == ["1.source", "1.type"]
    assert isinstance(third, InvalidError)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"not json", []),
        (b"\xff\xff", []),
        (b"[" * 100_000, []),
        (b"{}", []),
        (b"[]", []),
        (b"7", [("ce-id", "1")]),
        (b"{}", [("content-type", BATCH)]),
        (b'{"specversion":"0.3","id":"1","source":"s","type":"t"}', [("content-type", STRUCTURED)]),
        (b'{"specversion":"1.0","id":"1","source":"s","type":"t","data_base64":"AA=="}', []),
    ],
)
def test_what_is_no_cloud_event_is_an_error_with_a_problem(body, headers):
    with pytest.raises(InvalidError) as caught:
        parse_http(body, headers)
    assert caught.value.problems
