"""What may be published, what is refused, and what a foreign set may get away with."""

import json

import pytest

from penstock.errors import InvalidError
from penstock.events import FlagSubmitted, from_json, to_json
from services.flag_control.evaluation.bucketing import Bucketing
from services.flag_control.evaluation.validate import check, check_text
from tests.support.builders import an
from tests.support.flags.sets import EVERY_KIND, boolean


def problems(document: object, **options: bool) -> list[str]:
    try:
        check("set", document, **options)
    except InvalidError as error:
        return [str(problem) for problem in error.problems]
    return []


def rule(targeting: object, **options: bool) -> list[str]:
    return problems({"flags": {"f": boolean(targeting=targeting)}}, **options)


def test_every_kind_of_flag_and_operator_is_good():
    assert problems(EVERY_KIND) == []


STRUCTURE = {
    "must be an object of flags by key": {"flags": 3},
    "`..`": {"flags": {"a..b": boolean()}},
    "1 to 200 of": {"flags": {"with space": boolean()}},
    "ENABLED or DISABLED": {"flags": {"f": boolean(state="enabled")}},
    "at least one variant": {"flags": {"f": boolean(variants={})}},
    "boolean and string": {"flags": {"f": boolean(variants={"on": True, "off": "no"})}},
    "must have a value": {"flags": {"f": boolean(variants={"on": True, "off": None})}},
    "'other' is no variant": {"flags": {"f": boolean(defaultVariant="other")}},
    "flags.f.metadata.tags": {"flags": {"f": boolean(metadata={"tags": ["a"]})}},
    "metadata.tags": {"flags": {"f": boolean()}, "metadata": {"tags": {}}},
    "flags.0: must be an object with `key`": {"flags": [boolean()]},
    "flags.1.key: repeats the key 'f'": {"flags": [boolean(key="f"), boolean(key="f")]},
}


@pytest.mark.parametrize("reported", STRUCTURE)
def test_a_set_that_clients_would_trip_over_is_refused(reported: str):
    assert any(reported in problem for problem in problems(STRUCTURE[reported])), problems(STRUCTURE[reported])


RULES = {
    "'no-such' is unknown": {"if": [{"no-such": [1]}, "on", "off"]},
    "'log' is unknown": {"if": [{"log": "x"}, "on", "off"]},
    "exactly one operator": {"if": [True, "on"], "==": [1, 1]},
    "result 'purple' is no variant": {"if": [True, "purple", "off"]},
    "result 'blue' is no variant": {"fractional": [["blue", 1], ["off", 1]]},
    "gives true or false": {"starts_with": [{"var": "email"}, "a"]},
    "takes exactly 2": {"if": [{"ends_with": ["a"]}, "on"]},
    "takes exactly 3": {"if": [{"sem_ver": ["1.0.0", ">"]}, "on"]},
    "is none of": {"if": [{"sem_ver": ["1.0.0", "is", "1.0.0"]}, "on"]},
    "no semantic version": {"if": [{"sem_ver": [{"var": "v"}, ">", "one"]}, "on"]},
    "at least one bucket": {"fractional": []},
    "[variant] or [variant, weight]": {"fractional": ["on", "off"]},
    "whole number": {"fractional": [["on", 0.5], ["off", 1]]},
    "whole number from 0": {"fractional": [["on", -1], ["off", 1]]},
    "add up to 0": {"fractional": [["on", 0], ["off", 0]]},
    "more than 2147483647": {"fractional": [["on", 2_147_483_647], ["off", 1]]},
    "`$ref` to 'nowhere'": {"if": [{"$ref": "nowhere"}, "on"]},
    "$flagd.flagKey, $flagd.timestamp": {"if": [{"==": [{"var": "$flagd.nope"}, 1]}, "on"]},
}


@pytest.mark.parametrize("reported", RULES)
def test_a_rule_that_could_not_be_evaluated_is_refused(reported: str):
    assert any(reported in problem for problem in rule(RULES[reported])), rule(RULES[reported])


LENIENT = [
    {"if": [{"no-such": [1]}, "on", "off"]},
    {"if": [{"$ref": "nowhere"}, "on"]},
    {"if": [True, "purple", "off"]},
    {"fractional": [["blue", 1], ["off", 1]]},
]


@pytest.mark.parametrize("targeting", LENIENT)
def test_leniently_what_only_fails_its_own_evaluation_is_a_warning(targeting: object):
    checked = check("set", {"flags": {"f": boolean(targeting=targeting), "g": boolean()}}, lenient=True)
    assert set(checked.source.flags) == {"f", "g"}
    assert checked.warnings


def test_leniently_what_a_client_would_reject_the_set_for_is_left_out():
    foreign = {"flags": {"f": boolean(source="x", metadata={"tags": ["a"], "owner": "b"})}, "extra": 1}
    checked = check("set", foreign, lenient=True)
    assert checked.source.flags["f"]["metadata"] == {"owner": "b"}
    assert "source" not in checked.source.flags["f"]
    assert len(checked.warnings) == 3


@pytest.mark.parametrize(
    "reported", ["ENABLED or DISABLED", "at least one variant", "must be an object of flags by key"]
)
def test_leniently_what_breaks_the_whole_set_is_still_refused(reported: str):
    assert any(reported in problem for problem in problems(STRUCTURE[reported], lenient=True))


def test_every_problem_is_listed_not_only_the_first():
    bad = {"flags": {"f": boolean(state="x", defaultVariant="y"), "g g": boolean(targeting={"no": 1})}}
    assert len(problems(bad)) == 4


def test_references_are_resolved_also_within_each_other_and_never_served():
    document = {
        "flags": {"f": boolean(targeting={"if": [{"$ref": "beta"}, "on", "off"]})},
        "$evaluators": {"beta": {"and": [{"$ref": "staff"}, True]}, "staff": {"==": [{"var": "x"}, 1]}},
    }
    flag = check("set", document).source.flags["f"]
    assert flag["targeting"] == {"if": [{"and": [{"==": [{"var": "x"}, 1]}, True]}, "on", "off"]}


def test_a_reference_to_itself_is_refused_and_does_not_hang():
    document = {"flags": {"f": boolean(targeting={"$ref": "loop"})}, "$evaluators": {"loop": {"$ref": "loop"}}}
    assert any("`$ref` to 'loop'" in problem for problem in problems(document))


def test_set_metadata_is_merged_under_the_flags_own():
    document = {"flags": {"f": boolean(metadata={"a": 1})}, "metadata": {"a": 2, "b": 3}}
    assert check("set", document).source.flags["f"]["metadata"] == {"a": 1, "b": 3}


@pytest.mark.parametrize("text", ["{", "NaN", '{"flags": {"f": NaN}}', "[" * 100_000])
def test_text_that_is_no_json_is_refused(text: str):
    with pytest.raises(InvalidError):
        check_text("file", text)


def test_a_key_twice_is_refused_because_one_would_silently_win():
    flag = json.dumps(boolean())
    text = f'{{"flags": {{"f": {flag}, "f": {flag}, "g": {flag}}}}}'
    with pytest.raises(InvalidError, match="repeats the key 'f'"):
        check_text("file", text)
    assert check_text("file", text, lenient=True).source.flags


@pytest.mark.parametrize(("bucketing", "word"), [(Bucketing.V2, "Python"), (Bucketing.V3, "Node")])
def test_a_split_is_published_with_a_warning_about_mixed_clients(bucketing: Bucketing, word: str):
    split = {"flags": {"f": boolean(targeting={"fractional": [["on", 1], ["off", 1]]})}}
    (warning,) = check("set", split, bucketing=bucketing).warnings
    assert word in str(warning)
    assert check("set", {"flags": {"f": boolean()}}, bucketing=bucketing).warnings == ()


def test_a_rule_nested_without_end_is_refused():
    deep: object = True
    for _ in range(200):
        deep = {"!": deep}
    assert any("nested deeper" in problem for problem in rule({"if": [deep, "on", "off"]}))


@pytest.mark.parametrize("levels", [80, 200, 450, 5000])
@pytest.mark.parametrize("lenient", [False, True])
def test_a_set_nested_so_deep_that_reading_it_would_run_out_of_stack_is_refused(levels: int, lenient: bool):
    rule = '{"!":[' * levels + "true" + "]}" * levels
    flag = '{"state":"ENABLED","variants":{"on":true},"defaultVariant":"on","targeting":' + rule + "}"
    with pytest.raises(InvalidError, match=r"deep|depth"):
        check_text("set", '{"flags":{"f":' + flag + "}}", lenient=lenient)


def test_references_that_multiply_are_refused_before_they_fill_the_memory():
    evaluators = {f"e{level}": {"or": [{"$ref": f"e{level + 1}"}] * 10} for level in range(12)}
    flag = boolean(targeting={"if": [{"$ref": "e0"}, "on", "off"]})
    assert any("grows beyond" in reported for reported in problems({"flags": {"f": flag}, "$evaluators": evaluators}))


def test_a_definition_nested_too_deep_is_no_event_at_all_so_that_no_service_meets_it():
    deep: dict[str, object] = {}
    for _ in range(150):
        deep = {"x": [deep]}
    document = to_json(an(FlagSubmitted, definition={"targeting": {}}))
    with pytest.raises(InvalidError, match="nested deeper"):
        from_json({**document, "definition": {"targeting": deep}})
