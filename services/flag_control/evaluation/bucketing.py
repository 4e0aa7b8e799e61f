"""Bucketing "v2": the fractional operator as flagd, Go and Java hash it, beside the core's own "v3" (CBOR)."""

import importlib
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import mmh3
from openfeature.contrib.tools.flagd.core.targeting.custom_ops import MAX_WEIGHT_SUM, _parse_fraction

from services.flag_control.evaluation import json_logic

Document = dict[str, Any]


class Bucketing(StrEnum):
    """Which clients a flag set's percentages are hashed like."""

    V2 = "v2"
    V3 = "v3"


WARNINGS: Mapping[Bucketing, str] = {
    Bucketing.V2: "bucketing v2 (plain string): in-process Python providers >= 0.6 hash CBOR and will bucket users "
    "otherwise; give them OFREP, or use v3 where every in-process client is Python. In-process Node providers hash "
    "keys that are not ASCII otherwise too; use OFREP for them where targeting keys may contain such letters",
    Bucketing.V3: "bucketing v3 (CBOR): in-process Node, Java and Go providers hash the plain string and will bucket "
    "users otherwise; give them OFREP, or use v2 where no in-process client is Python >= 0.6",
}
"""Warnings for a set that splits by percentage and that in-process clients of both kinds may read."""

_OPERATOR = "fractional_v2"
# The core's package exports a function under the name of its own submodule, so the module is imported by its path.
_core_targeting = importlib.import_module("openfeature.contrib.tools.flagd.core.targeting.targeting")


def fractional_v2(data: Document, *args: Any) -> Any:
    """Return the variant of the bucket that MurmurHash3 of the plain UTF-8 string falls into, None for the default.

    Node's evaluator agrees for ASCII only: it hashes 16-bit units and not the UTF-8 bytes. The tests of the clients
    hold both against `@openfeature/flagd-core` 4.
    """
    if args and isinstance(args[0], str):
        bucket_by, buckets = args[0], args[1:]
    else:
        targeting_key = data.get("targetingKey")
        if not isinstance(targeting_key, str) or not targeting_key:
            return None
        bucket_by, buckets = f"{data['$flagd']['flagKey']}{targeting_key}", args
    try:
        fractions = [_parse_fraction(bucket) for bucket in buckets]
    except ValueError:
        return None
    total = sum(fraction.weight for fraction in fractions)
    if not 0 < total <= MAX_WEIGHT_SUM:
        return None
    bucket = (mmh3.hash(bucket_by.encode(), signed=False) * total) >> 32
    end = 0
    for fraction in fractions:
        end += fraction.weight
        if bucket < end:
            return fraction.variant
    return None


_LIKE_JAVASCRIPT = {name: f"{name} as JavaScript" for name in json_logic.OPERATORS}
# Under names of their own: a provider that runs in this process too keeps the core's operators.
_core_targeting.OPERATORS.update({_LIKE_JAVASCRIPT[name]: apply for name, apply in json_logic.OPERATORS.items()})
_core_targeting.OPERATORS[_OPERATOR] = fractional_v2


def for_core(targeting: Any, bucketing: Bucketing) -> Any:
    """Return the targeting as the core evaluates it, once for each set.

    Under v2, `fractional` names the operator above; comparisons, arithmetic and text name those of `json_logic`.
    Buckets are tuples, which both operators take like lists, but which the interpreter hands on whole: it would take
    a list for a rule, and go through its name and weight every time.
    """
    if isinstance(targeting, list):
        return [for_core(item, bucketing) for item in targeting]
    if not isinstance(targeting, dict):
        return targeting
    prepared: Document = {}
    for operator, arguments in targeting.items():
        inner = for_core(arguments, bucketing)
        if operator == "fractional" and isinstance(inner, list):
            inner = [_bucket(one) for one in inner]
        prepared[_name_in_core(operator, bucketing)] = inner
    return prepared


def _name_in_core(operator: str, bucketing: Bucketing) -> str:
    if operator == "fractional":
        return _OPERATOR if bucketing is Bucketing.V2 else operator
    return _LIKE_JAVASCRIPT.get(operator, operator)


def _bucket(argument: Any) -> Any:
    literal = isinstance(argument, list) and not any(isinstance(part, list | dict) for part in argument)
    return tuple(argument) if literal else argument


def splits(targeting: Any) -> bool:
    """Return whether the targeting divides users by percentage."""
    if isinstance(targeting, list):
        return any(splits(item) for item in targeting)
    if isinstance(targeting, dict):
        return "fractional" in targeting or any(splits(value) for value in targeting.values())
    return False
