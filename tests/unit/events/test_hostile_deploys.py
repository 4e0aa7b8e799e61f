"""Whatever stands in a field of CI's event, a deploy comes out of it or a list of what is wrong."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from penstock.errors import InvalidError
from penstock.events import DeployAnnounced, from_json, to_json
from penstock.events.cdevents.deployed import from_deployed
from tests.support.builders import deployed
from tests.unit.events.test_hostile_fields import HOSTILE

PENSTOCK = {"flag": "form", "version": "2", "plan": "p", "releaseNotes": "n", "author": "a", "ticket": "t"}
LONG = {"a long version in the URL": f"pkg:generic/shop@{'9' * 300}"}


def whole() -> dict[str, Any]:
    document = copy.deepcopy(deployed())
    document["customData"] = {"penstock": dict(PENSTOCK)}
    return document


def fields(document: dict[str, Any], place: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, value in document.items():
        yield (*place, name)
        if isinstance(value, dict):
            yield from fields(value, (*place, name))


def outcome(document: dict[str, Any]) -> tuple[DeployAnnounced | None, list[str]]:
    try:
        return from_deployed(document, lambda environment, service: ["form"], "ann"), []
    except InvalidError as error:
        return None, [problem.what for problem in error.problems]


@pytest.mark.parametrize("place", list(fields(whole())), ids=".".join)
def test_every_field_with_every_hostile_value_is_a_deploy_or_refused_with_its_reasons(place: tuple[str, ...]) -> None:
    for name, value in (HOSTILE | LONG).items():
        document = whole()
        if name in LONG:
            del document["customData"]["penstock"]["version"]
        inner = document
        for part in place[:-1]:
            inner = inner[part]
        if place[-1] in inner:
            inner[place[-1]] = value
        deploy, reasons = outcome(document)
        assert (deploy is None) == bool(reasons), name
        assert deploy is None or from_json(to_json(deploy)) == deploy, name


def test_a_control_character_in_the_id_is_named_where_ci_wrote_it() -> None:
    document = whole()
    document["context"]["id"] = "☃\n"
    with pytest.raises(InvalidError) as refused:
        from_deployed(document, lambda environment, service: ["form"], "ann")
    assert [problem.where for problem in refused.value.problems] == ["context.id"]
