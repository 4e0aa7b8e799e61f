"""Selectors of a plan: patterns, lists, negation, ranges; what can match nothing is refused."""

import pytest

from penstock.errors import PlanError
from penstock.plan import load_plan
from penstock.plan.selectors import matcher
from tests.support.metrics.target import PLAN

CODE = "http.response.status_code"


def with_bad(selector: str, attribute: str = CODE) -> str:
    return PLAN.replace('{http.response.status_code: "5*"}', f"{{{attribute}: {selector}}}")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ('"5.."', '"5*"'),
        ('"5xx"', '"5*"'),
        ('"5??"', '"5*"'),
        ('"^5.*$"', '"5*"'),
        ('"5[0-9]{2}"', '"5*"'),
        ('"5"', '"5*"'),
        ('"[45]*"', '["4*", "5*"]'),
        ('"[4-5].."', '["4*", "5*"]'),
        ('"(4|5).."', '["4*", "5*"]'),
        ('"5*|4*"', '["5*", "4*"]'),
        ('"500,503"', '["500", "503"]'),
        ('">=500"', "{at_least: 500}"),
        ('">499"', "{above: 499}"),
        ('"500-599"', "{at_least: 500, at_most: 599}"),
        ('"[!2]*"', '{not: "2*"}'),
        ('"!2*"', '{not: "2*"}'),
        ('"!=200"', '{not: "200"}'),
        ('["5*", "4.."]', '"4*"'),
    ],
)
def test_a_selector_that_can_match_nothing_is_refused_with_what_is_meant(written: str, meant: str) -> None:
    with pytest.raises(PlanError) as refused:
        load_plan(with_bad(written), new=True)
    (problem,) = refused.value.problems
    assert meant in problem.what
    assert problem.line == 7
    load_plan(with_bad(meant), new=True)
    load_plan(with_bad(written)), "a plan that was recorded still loads"


@pytest.mark.parametrize("written", ["{at_least: 600}", '{is: "5*"}', '{not: "*"}', "[600, 700]"])
def test_conditions_that_no_status_code_meets_are_refused(written: str) -> None:
    with pytest.raises(PlanError, match="status_code"):
        load_plan(with_bad(written), new=True)


def test_conditions_that_contradict_each_other_are_refused() -> None:
    text = PLAN.replace('bad: {http.response.status_code: "5*"}', f'where: {{{CODE}: "2*"}}, bad: {{{CODE}: "5*"}}')
    with pytest.raises(PlanError, match="never see an error"):
        load_plan(text, new=True)
    with pytest.raises(PlanError, match="no number lies"):
        load_plan(with_bad("{at_least: 600, below: 500}"), new=True)
    with pytest.raises(PlanError, match="state a condition"):
        load_plan(with_bad("{}"), new=True)


@pytest.mark.parametrize(
    "written",
    ['"GET|POST"', '"!GET"', '"^/a$"', '"/api/.*"', '">=500"', '"5.."'],
)
def test_other_notations_are_refused_on_any_attribute(written: str) -> None:
    with pytest.raises(PlanError, match="can match nothing"):
        load_plan(with_bad(written, "code"), new=True)
    load_plan(with_bad(f"{{is: {written}}}", "code"), new=True)


@pytest.mark.parametrize(
    "written",
    [
        '"/users/{id}"',
        '"1.2.*"',
        '"5xx"',
        '"a.b.c"',
        '"/x?y=1"',
        '"[::1]"',
        "true",
        "500",
        '["GET", "POST"]',
        '"api.*.eu"',
    ],
)
def test_texts_that_can_stand_in_an_attribute_are_patterns(written: str) -> None:
    load_plan(with_bad(written, "code"), new=True)


def test_what_selectors_match() -> None:
    def matched(selector: str, *values: str | None) -> list[bool]:
        gate = load_plan(with_bad(selector, "x")).gates["errors"]
        return [matcher(gate.bad["x"])(value) for value in values]  # type: ignore[union-attr]

    assert matched('["4*", "5*"]', "404", "503", "200", None) == [True, True, False, False]
    assert matched('{not: "2*"}', "404", "200", None) == [True, False, True]
    assert matched('{not: ["2*", "3*"]}', "404", "301") == [True, False]
    assert matched("{at_least: 500, below: 600}", "500", "599.5", "600", "x", None) == [True, True, False, False, False]
    assert matched('{is: "a*"}', "a*", "ab") == [True, False]
    assert matched("500", "500") == [True]
    assert matched("true", "true") == [True]
    assert matched('{at_least: 400, not: "404"}', "404", "500", None) == [False, True, False]
