"""What the core is given to evaluate says the same as what clients are served, to the last odd bucket."""

import copy
from functools import partial

import pytest
from openfeature.contrib.tools.flagd.core import FlagdCore
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import OpenFeatureError

from services.flag_control.evaluation.bucketing import Bucketing, for_core
from services.flag_control.evaluation.evaluator import Evaluator
from tests.support.flags.sets import boolean

HASHED = {"cat": ["salt", {"var": "targetingKey"}]}
RULES = {
    "usual": [HASHED, ["on", 25], ["off", 75]],
    "without weights": [HASHED, ["on"], ["off"]],
    "by the key": [["on", 1], ["off", 1]],
    "negative": [HASHED, ["on", -5], ["off", 10]],
    "nobody": [HASHED, ["on", 0], ["off", 0]],
    "no whole number": [HASHED, ["on", 0.5], ["off", 1]],
    "a truth": [HASHED, ["on", True], ["off", 1]],
    "a weight that is computed": [HASHED, ["on", {"var": "weight"}], ["off", 50]],
    "a name that is computed": [HASHED, [{"if": [{"var": "beta"}, "on", "off"]}, 50], ["off", 50]],
    "lists within": [HASHED, [["on", 1], 1], ["off", 1]],
    "hashed by a list": [[HASHED, "x"], ["on", 1], ["off", 1]],
    "hashed by a number": [{"var": "weight"}, ["on", 1], ["off", 1]],
    "empty": [HASHED, [], ["off", 1]],
    "nothing": [],
}


def reported(resolve) -> object:
    try:
        found = resolve()
    except OpenFeatureError as error:
        return type(error)
    return found.variant, found.reason


@pytest.mark.parametrize("name", RULES)
def test_a_split_evaluates_as_the_core_evaluates_the_served_flag_itself(name: str):
    flag = boolean(targeting={"fractional": RULES[name]})
    ours = Evaluator({"f": flag}, {"f": Bucketing.V3})
    core = FlagdCore()
    core.set_flags({"flags": {"f": copy.deepcopy(flag)}})
    for user in range(200):
        context = EvaluationContext(f"user-{user}", {"weight": user, "beta": user % 2 == 0})
        theirs = reported(partial(core.resolve_boolean_value, "f", False, context))
        assert reported(partial(ours.resolve, "f", context)) == theirs


@pytest.mark.parametrize("bucketing", Bucketing)
def test_the_served_rule_itself_stays_as_it_is(bucketing: Bucketing):
    rule = {"if": [{"var": "targetingKey"}, {"fractional": RULES["usual"]}, "off"]}
    before = copy.deepcopy(rule)
    for_core(rule, bucketing)
    assert rule == before
