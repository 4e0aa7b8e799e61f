"""JsonLogic's operators where the core's library follows Python and not JavaScript, by which JsonLogic is defined."""

import math
import operator
import re
from collections.abc import Callable
from typing import Any

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|0[xX][0-9a-fA-F]+|[+-]?Infinity")
_WHOLE_BELOW = 1e21

Operator = Callable[..., Any]


def number_of(value: Any) -> float | int:
    """Return the number that JavaScript makes of a JSON value; NaN where it makes none."""
    match value:
        case None:
            return 0
        case bool():
            return int(value)
        case int() | float():
            return value
        case list():
            return number_of(string_of(value))
        case str():
            return _parsed(value.strip())
        case _:
            return math.nan


def string_of(value: Any) -> str:
    """Return the text that JavaScript makes of a JSON value."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case float():
            return _decimal(value)
        case list():
            return ",".join("" if one is None else string_of(one) for one in value)
        case dict():
            return "[object Object]"
        case _:
            return str(value)


def strictly_equal(one: Any, other: Any) -> bool:
    """Return whether two values are of one type and equal; lists and objects are equal to themselves only."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list | dict) or isinstance(other, list | dict):
        return one is other
    return bool(one == other)


def loosely_equal(one: Any, other: Any) -> bool:
    """Return whether two values are equal once JavaScript has converted them."""
    if one is None or other is None:
        return one is other
    if isinstance(one, bool) or isinstance(other, bool):
        one, other = (int(value) if isinstance(value, bool) else value for value in (one, other))
    structured = isinstance(one, list | dict), isinstance(other, list | dict)
    if all(structured):
        return one is other
    if any(structured):
        one, other = (string_of(value) if isinstance(value, list | dict) else value for value in (one, other))
    if isinstance(one, str) and isinstance(other, str):
        return one == other
    return bool(number_of(one) == number_of(other))


def _parsed(text: str) -> float | int:
    if not text:
        return 0
    if not _NUMBER.fullmatch(text):
        return math.nan
    if text[:2] in ("0x", "0X"):
        return int(text, 16)
    return float(text.replace("Infinity", "inf"))


def _decimal(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if value.is_integer() and abs(value) < _WHOLE_BELOW:
        return str(int(value))
    return re.sub(r"e([+-])0*", r"e\1", repr(value))


def _ordered(compare: Callable[[Any, Any], bool]) -> Operator:
    def pair(one: Any, other: Any) -> bool:
        one, other = (string_of(value) if isinstance(value, list | dict) else value for value in (one, other))
        if isinstance(one, str) and isinstance(other, str):
            return compare(one, other)
        return compare(number_of(one), number_of(other))

    def ordered(_: Any, *args: Any) -> bool:
        one, other, *rest = (*args, None, None)[: max(2, len(args))]
        return pair(one, other) and (not rest or pair(other, rest[0]))

    return ordered


def _divided(one: float, other: float) -> float:
    if other == 0:
        return math.nan if one == 0 or math.isnan(one) else math.copysign(math.inf, one) * math.copysign(1, other)
    return one / other


def _remainder(one: float, other: float) -> float:
    if other == 0 or math.isinf(one):
        return math.nan
    return math.fmod(one, other)


def _minus(_: Any, *args: Any) -> float | int:
    first = number_of(args[0] if args else None)
    return first - number_of(args[1]) if len(args) > 1 else -first


def _in(_: Any, needle: Any = None, haystack: Any = None, *__: Any) -> bool:
    if isinstance(haystack, list):
        return any(strictly_equal(needle, one) for one in haystack)
    return isinstance(haystack, str) and string_of(needle) in haystack


def _binary(apply: Callable[[Any, Any], Any]) -> Operator:
    return lambda _, one=None, other=None, *__: apply(one, other)


OPERATORS: dict[str, Operator] = {
    "==": _binary(loosely_equal),
    "!=": _binary(lambda one, other: not loosely_equal(one, other)),
    "===": _binary(strictly_equal),
    "!==": _binary(lambda one, other: not strictly_equal(one, other)),
    "<": _ordered(operator.lt),
    "<=": _ordered(operator.le),
    ">": _ordered(operator.gt),
    ">=": _ordered(operator.ge),
    "+": lambda _, *args: sum(map(number_of, args)),
    "*": lambda _, *args: math.prod(map(number_of, args)),
    "-": _minus,
    "/": _binary(lambda one, other: _divided(number_of(one), number_of(other))),
    "%": _binary(lambda one, other: _remainder(number_of(one), number_of(other))),
    "min": lambda _, *args: min(map(number_of, args), default=math.inf),
    "max": lambda _, *args: max(map(number_of, args), default=-math.inf),
    "cat": lambda _, *args: "".join(map(string_of, args)),
    "in": _in,
}
"""By JsonLogic's name; the first argument is the data that the rule reads."""
