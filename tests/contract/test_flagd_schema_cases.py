"""The published cases of the flagd schemas: what they accept we accept, what they refuse we refuse."""

from typing import Any

import pytest

from penstock.errors import InvalidError
from services.flag_control.evaluation.validate import check
from tests.support.docs.standards import FOLDER, documents

DAEMON_FORM = "with-array-flags.json"
"""A list of flags: the schema of what providers are sent refuses it; the schema of what flagd reads has it."""


def cases(folder: str) -> list[str]:
    root = FOLDER / "flagd-schemas/test" / folder
    return sorted(path.name for path in root.glob("*.json")) or ["absent"]


def case(folder: str, name: str) -> Any:
    return documents(f"flagd-schemas/test/{folder}")[name]


def wrapped(targeting: Any) -> Any:
    """Return a set whose one flag has the case as its condition: most cases are no variant's name."""
    rule = {key: value for key, value in targeting.items() if key != "$schema"}
    flag = {
        "state": "ENABLED",
        "variants": {"yes": True, "no": False},
        "defaultVariant": "no",
        "targeting": {"if": [rule, "yes", "no"]},
    }
    return {"flags": {"f": flag}, "$evaluators": {"some-ref": True}}


@pytest.mark.parametrize("name", cases("flags/positive"))
def test_a_good_set_is_published(name: str) -> None:
    assert check(name, case("flags/positive", name)).source.flags


@pytest.mark.parametrize("name", cases("flags/negative"))
def test_a_bad_set_is_refused(name: str) -> None:
    if name == DAEMON_FORM:
        served = check(name, case("flags/negative", name)).source.flags
        assert isinstance(served, dict)
    else:
        with pytest.raises(InvalidError):
            check(name, case("flags/negative", name))


@pytest.mark.parametrize("name", cases("targeting/positive"))
def test_a_good_rule_is_published(name: str) -> None:
    assert check(name, wrapped(case("targeting/positive", name))).source.flags


@pytest.mark.parametrize("name", cases("targeting/negative"))
def test_a_bad_rule_is_refused(name: str) -> None:
    with pytest.raises(InvalidError, match="targeting"):
        check(name, wrapped(case("targeting/negative", name)))
