"""Problems of plans, files, settings and requests are sentences of ours, whatever the validator calls them."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.errors import PlanError, SettingsError
from penstock.plan import load_plan
from penstock.settings import load_settings
from tests.support.docs.readme_tables import PLAN

TEXT = PLAN.read_text()
VALIDATOR = ("Input should", "Input tag", "Field required", "Extra inputs", "Value error", "Tuple", "List", "String")
AUTHORS = "owners: [team-payments]"


def problems(text: str) -> list[str]:
    with pytest.raises(PlanError) as caught:
        load_plan(text)
    return [f"{problem.where}: {problem.what}" for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        (AUTHORS, "", "owners: is missing"),
        (AUTHORS, f"{AUTHORS}\npause: 5m", "pause: is not a known key"),
        (
            "exposure: 5%",
            "exposure: 5%\n    aproval: {roles: [x]}",
            "stages.1.aproval: is not a known key; did you mean `approval`?",
        ),
        ("kind: ratio", "kind: ratoi", "gates.errors: `kind` must be one of 'ratio', 'quantile'"),
        ("{min: 30, max: 60}", "{min: thirty, max: 60}", "stages.0.bake.min: must be a whole number"),
        ("{min: 30, max: 60}", "{min: 0, max: 60}", "stages.0.bake.min: must be at least 1"),
        (AUTHORS, "owners: team-payments", "owners: must be a list"),
        (AUTHORS, "owners: []", "owners: must have at least 1 entry"),
    ],
)
def test_each_problem_says_what_to_write(before: str, after: str, sentence: str) -> None:
    assert before in TEXT
    assert any(found.startswith(sentence) for found in problems(TEXT.replace(before, after, 1)))


def test_a_list_whose_entries_are_wrong_is_not_called_too_short() -> None:
    text = (
        TEXT[: TEXT.index("stages:")] + "stages:\n  - {name: one, exposure: 5%, bake: {min: 60, max: 120}, pause: 5m}\n"
    )
    assert problems(text) == ["stages.0.pause: is not a known key"]


DOCUMENT = yaml.safe_load(TEXT)
SCALARS = st.one_of(st.text(max_size=8), st.integers(-5, 10**30), st.floats(), st.booleans(), st.none(), st.dates())
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SCALARS, inner, max_size=3))


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    entries = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in entries:
        yield from places(value, (*path, key))


def replaced(node: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    copy = dict(node) if isinstance(node, dict) else list(node)
    copy[path[0]] = replaced(node[path[0]], path[1:], value)
    return copy


def problems_or_none(text: str) -> list[str]:
    try:
        load_plan(text)
    except PlanError as error:
        return [problem.what for problem in error.problems]
    return []


@settings(max_examples=600, deadline=None)
@given(place=st.sampled_from(sorted(places(DOCUMENT), key=str)), value=VALUES)
def test_whatever_stands_anywhere_the_plan_loads_or_its_problems_are_in_words(
    place: tuple[Any, ...], value: Any
) -> None:
    text = yaml.safe_dump(replaced(DOCUMENT, place, value), allow_unicode=True)
    assert [what for what in problems_or_none(text) if what.startswith(VALIDATOR)] == []


def test_settings_say_it_in_the_same_words() -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({"PENSTOCK_REPLICATION": "many"})
    assert [(found.where, found.what) for found in caught.value.problems] == [
        ("PENSTOCK_REPLICATION", "must be a whole number")
    ]
