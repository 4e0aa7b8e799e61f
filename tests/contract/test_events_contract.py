"""The frozen contract: one canonical example an event type, and documents that only change with the code."""

import json

import jsonschema
import pytest
import yaml

from penstock.contract import ROOT, documents, events_schema
from penstock.errors import InvalidError
from penstock.events import BY_TYPE, from_json, to_json
from penstock.topics import TOPICS
from tests.support.builders import EXAMPLES, example


def test_every_event_type_has_one_example_and_no_example_is_left_over():
    assert {path.stem for path in EXAMPLES.glob("*/*.json")} == set(BY_TYPE)


@pytest.mark.parametrize("event_type", sorted(BY_TYPE))
def test_an_example_reads_and_writes_unchanged(event_type):
    document = example(event_type)
    event = from_json(document)
    assert type(event) is BY_TYPE[event_type]
    assert to_json(event) == document


@pytest.mark.parametrize("event_type", sorted(BY_TYPE))
def test_an_example_fits_the_frozen_schema(event_type):
    frozen = json.loads((ROOT / "shared/penstock/events/schema.json").read_text())
    validator = jsonschema.Draft202012Validator(frozen)
    validator.validate(example(event_type))
    broken = {name: value for name, value in example(event_type).items() if name != "target"}
    assert not validator.is_valid(broken)


@pytest.mark.parametrize("event_type", sorted(BY_TYPE))
def test_an_unknown_optional_field_is_ignored(event_type):
    document = example(event_type)
    assert from_json({**document, "of_a_later_version": 1}) == from_json(document)


def test_an_unknown_type_is_an_error_that_names_it():
    with pytest.raises(InvalidError, match=r"rollout\.vanished"):
        from_json({**example("rollout.completed"), "type": "rollout.vanished"})


@pytest.mark.parametrize("place", sorted(documents()))
def test_a_derived_document_is_as_the_code_derives_it(place):
    path = ROOT / place
    assert path.read_text() == documents()[place], f"run `python -m penstock.contract` to write {place} again"


def test_the_schema_is_a_valid_json_schema():
    jsonschema.Draft202012Validator.check_schema(events_schema())


def test_asyncapi_has_every_public_event_on_its_topic_and_no_private_log():
    whole = yaml.safe_load((ROOT / "docs/contract/asyncapi.yaml").read_text())
    for topic in TOPICS:
        names = {
            reference["$ref"].removeprefix("#/components/messages/")
            for reference in whole["channels"].get(topic.name, {"messages": {}})["messages"].values()
        }
        assert set(topic.carries) <= names
        assert topic.kind != "log" or topic.name not in whole["channels"]
    assert {name for topic in TOPICS for name in topic.carries} <= set(whole["components"]["messages"])


def test_every_reference_in_asyncapi_leads_somewhere():
    whole = yaml.safe_load((ROOT / "docs/contract/asyncapi.yaml").read_text())

    def references(node):
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                yield node["$ref"]
            for value in node.values():
                yield from references(value)
        elif isinstance(node, list):
            for value in node:
                yield from references(value)

    found = set(references(whole))
    assert found
    for reference in found:
        node = whole
        for part in reference.removeprefix("#/").split("/"):
            assert part in node, reference
            node = node[part]
