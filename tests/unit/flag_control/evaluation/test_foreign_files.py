"""Flag files as other tools and repositories write them: what flagd takes is taken, and what is left out is named."""

import json
from typing import Any

import pytest
from openfeature.contrib.tools.flagd.core import FlagdCore
from openfeature.evaluation_context import EvaluationContext

from services.flag_control.evaluation.bucketing import Bucketing
from services.flag_control.evaluation.evaluator import Evaluator
from services.flag_control.evaluation.validate import check, check_text
from tests.support.flags.sets import boolean

DEMO = """{"$schema": "https://flagd.dev/schema/v0/flags.json", "flags": {"slow-images": {
  "description": "make the images slow", "state": "ENABLED", "variants": {"off": 0, "on": 5000},
  "defaultVariant": "off"}}}"""


def test_flags_with_a_description_are_taken_without_a_word_and_served_without_it() -> None:
    checked = check_text("demo", DEMO)
    assert checked.warnings == ()
    assert "description" not in checked.source.flags["slow-images"]


def test_flags_as_a_list_are_those_by_key() -> None:
    listed = check("list", {"flags": [boolean(key="a"), boolean(key="b", defaultVariant="on")]})
    assert listed.source.flags == {"a": boolean(), "b": boolean(defaultVariant="on")}


def test_fields_that_flagd_does_not_know_are_left_out_and_named() -> None:
    checked = check("set", {"flags": {"f": boolean(defaultVarient="on", owner="me")}, "extra": 1})
    assert checked.source.flags == {"f": boolean()}
    reported = [str(warning) for warning in checked.warnings]
    assert [text.partition(":")[0] for text in reported] == ["extra", "flags.f.defaultVarient", "flags.f.owner"]


RULES = [
    {"fractional": [["on", 50], ["off", 50]]},
    {"fractional": [{"cat": ["salt", {"var": "targetingKey"}]}, ["on", 50], ["off", 50]]},
    {"if": [{"==": [{"var": "targetingKey"}, 7]}, "on", "off"]},
    {"if": [{"var": "targetingKey"}, "on", "off"]},
]


@pytest.mark.parametrize("rule", RULES, ids=json.dumps)
@pytest.mark.parametrize("key", [7, 7.5, 0, -1, "7", "", None])
def test_a_targeting_key_that_is_no_text_gets_what_the_provider_in_process_gives(rule: Any, key: Any) -> None:
    flags = {"f": boolean(targeting=rule)}
    core = FlagdCore()
    core.set_flags(json.dumps({"flags": flags}))
    context = EvaluationContext(key, {})
    theirs = core.resolve_boolean_value("f", False, context)
    ours = Evaluator(flags, {"f": Bucketing.V3}).resolve("f", context)
    assert (ours.value, ours.variant, ours.reason) == (theirs.value, theirs.variant, theirs.reason)
