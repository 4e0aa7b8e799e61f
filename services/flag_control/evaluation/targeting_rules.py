"""Targeting checked before it is published: operators, their arguments, and results that must be variants."""

import re
from collections.abc import Collection, Iterator
from typing import Any

import semver
from json_logic.builtins import BUILTINS  # type: ignore[import-untyped]
from openfeature.contrib.tools.flagd.core.targeting.custom_ops import normalize_version

from penstock.errors import Problem

_CUSTOM = frozenset({"fractional", "starts_with", "ends_with", "sem_ver"})
_CONTROL = frozenset({"if", "?:", "and", "or", "filter", "reduce", "map", "all", "some", "none"})
OPERATORS = frozenset(BUILTINS) - {"log"} | _CUSTOM | _CONTROL
"""Operators that every flagd client knows; `log` would print what a client sent."""

_TRUTHS = frozenset(
    {"==", "!=", "===", "!==", "<", ">", "<=", ">=", "!", "!!", "in", "all", "some", "none"}
    | {"starts_with", "ends_with", "sem_ver"}
)
_VERSION_OPERATORS = frozenset({"=", "!=", "<", "<=", ">", ">=", "^", "~"})
_ARITY = {"starts_with": 2, "ends_with": 2, "sem_ver": 3}
_FLAGD_PROPERTY = re.compile(r"\$flagd\.(flagKey|timestamp)")
_MAX_DEPTH = 64
_MAX_WEIGHT = 2_147_483_647


def check_targeting(targeting: Any, variants: Collection[str], where: str) -> list[Problem]:
    """Return every problem of a targeting rule: unknown operators, wrong arguments, results that are no variant."""
    if targeting == {}:
        return []
    if not isinstance(targeting, dict):
        return [Problem(where, "must be an object (a JsonLogic rule)")]
    return [*_rule(targeting, where, 0), *_results(targeting, variants, where)]


def _rule(rule: Any, where: str, depth: int) -> Iterator[Problem]:
    if depth > _MAX_DEPTH:
        yield Problem(where, f"is nested deeper than {_MAX_DEPTH} levels")
    elif isinstance(rule, list):
        for index, item in enumerate(rule):
            yield from _rule(item, f"{where}.{index}", depth + 1)
    elif isinstance(rule, dict):
        if len(rule) != 1:
            yield Problem(where, f"must have exactly one operator, not {len(rule)}")
            return
        operator, arguments = next(iter(rule.items()))
        if operator == "$ref":
            yield Problem(where, f"`$ref` to {arguments!r}, which `$evaluators` does not define")
            return
        if operator not in OPERATORS:
            yield Problem(where, f"operator {operator!r} is unknown")
            return
        inner = f"{where}.{operator}"
        yield from _arguments(operator, arguments, inner)
        yield from _rule(arguments, inner, depth + 1)


def _arguments(operator: str, arguments: Any, where: str) -> Iterator[Problem]:
    if operator == "fractional":
        yield from _fractional(arguments, where)
    elif operator == "var":
        yield from _variable(arguments, where)
    elif operator in _ARITY:
        count = _ARITY[operator]
        if not isinstance(arguments, list) or len(arguments) != count:
            yield Problem(where, f"takes exactly {count} arguments")
        elif operator == "sem_ver":
            yield from _version(arguments, where)
        else:
            for index, argument in enumerate(arguments):
                if not isinstance(argument, str | dict):
                    yield Problem(f"{where}.{index}", "must be a string or a rule")


def _variable(arguments: Any, where: str) -> Iterator[Problem]:
    name = arguments[0] if isinstance(arguments, list) and arguments else arguments
    if isinstance(name, str) and name.startswith("$flagd.") and not _FLAGD_PROPERTY.fullmatch(name):
        yield Problem(where, f"{name!r} is none of $flagd.flagKey, $flagd.timestamp")


def _version(arguments: list[Any], where: str) -> Iterator[Problem]:
    left, operator, right = arguments
    if not isinstance(operator, str) or operator not in _VERSION_OPERATORS:
        yield Problem(f"{where}.1", f"{operator!r} is none of {', '.join(sorted(_VERSION_OPERATORS))}")
    for index, version in ((0, left), (2, right)):
        if isinstance(version, str) and not _is_version(version):
            yield Problem(f"{where}.{index}", f"{version!r} is no semantic version")
        elif not isinstance(version, str | dict):
            yield Problem(f"{where}.{index}", "must be a string or a rule")


def _is_version(text: str) -> bool:
    try:
        return isinstance(normalize_version(text), semver.Version)
    except ValueError:
        return False


def _fractional(arguments: Any, where: str) -> Iterator[Problem]:
    buckets = _buckets(arguments)
    if not buckets:
        yield Problem(where, "needs at least one bucket: [variant, weight]")
        return
    first = len(arguments) - len(buckets)
    if first and not isinstance(arguments[0], dict):
        yield Problem(
            f"{where}.0", f"{arguments[0]!r} is the same for everyone; bucket by a rule such as `var` or `cat`"
        )
    total = 0
    for index, bucket in enumerate(buckets, start=first):
        place = f"{where}.{index}"
        if not isinstance(bucket, list) or not 1 <= len(bucket) <= 2:
            yield Problem(place, "must be a bucket: [variant] or [variant, weight]")
            continue
        if not isinstance(bucket[0], str | bool | int | float | dict) and bucket[0] is not None:
            yield Problem(place, "must name a variant or contain a rule that does")
        weight = bucket[1] if len(bucket) == 2 else 1
        if isinstance(weight, dict):
            continue
        if not isinstance(weight, int) or isinstance(weight, bool) or weight < 0:
            yield Problem(place, f"weight {weight!r} must be a whole number from 0, or a rule")
        else:
            total += weight
    if total > _MAX_WEIGHT:
        yield Problem(where, f"weights add up to {total}, more than {_MAX_WEIGHT}")
    if total == 0 and all(isinstance(bucket, list) and not _is_dynamic(bucket) for bucket in buckets):
        yield Problem(where, "weights add up to 0")


def _buckets(arguments: Any) -> list[Any]:
    if not isinstance(arguments, list) or not arguments:
        return []
    return arguments if isinstance(arguments[0], list) else arguments[1:]


def _is_dynamic(bucket: list[Any]) -> bool:
    return len(bucket) == 2 and isinstance(bucket[1], dict)


def _results(rule: Any, variants: Collection[str], where: str) -> Iterator[Problem]:
    """Yield results that are known without a context and are no variant."""
    if isinstance(rule, dict) and len(rule) == 1:
        operator, arguments = next(iter(rule.items()))
        inner = f"{where}.{operator}"
        if operator in {"if", "?:"} and isinstance(arguments, list):
            for index in _branches(len(arguments)):
                yield from _results(arguments[index], variants, f"{inner}.{index}")
        elif operator == "fractional":
            for bucket in _buckets(arguments):
                if isinstance(bucket, list) and bucket:
                    yield from _results(bucket[0], variants, inner)
        elif operator in _TRUTHS and not {"true", "false"} <= set(variants):
            yield Problem(inner, "gives true or false, so the variants must be named `true` and `false`")
    elif isinstance(rule, bool):
        yield from _no_variant(str(rule).lower(), variants, where)
    elif isinstance(rule, str | int | float):
        yield from _no_variant(str(rule), variants, where)
    elif isinstance(rule, list):
        yield Problem(where, "gives a list, which is no variant")


def _branches(count: int) -> list[int]:
    # if [condition, result]*, and the last of an odd number is the else.
    return [index for index in range(count) if index % 2 == 1 or (index == count - 1 and count % 2 == 1)]


def _no_variant(name: str, variants: Collection[str], where: str) -> Iterator[Problem]:
    if name not in variants:
        yield Problem(where, f"result {name!r} is no variant: there are {', '.join(sorted(variants))}")
