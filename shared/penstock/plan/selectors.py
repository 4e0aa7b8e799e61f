"""Which values of an attribute a plan means: a pattern, a list of patterns, a negation, a range of numbers."""

import re
from collections.abc import Callable
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator

from penstock.plan.strict import Strict

Matches = Callable[[str | None], bool]
"""Whether a value of an attribute is meant; None where the attribute is absent."""


def _text(value: Any) -> Any:
    # YAML reads 500 as a number and true as a boolean; attributes are compared as text.
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else value


Pattern = Annotated[str, BeforeValidator(_text)]
Patterns = Annotated[tuple[Pattern, ...], Field(min_length=1)]


def _form(value: Any) -> str | None:
    match value:
        case str() | int():
            return "pattern"
        case list() | tuple():
            return "patterns"
        case dict() | Values():
            return "condition"
        case _:
            return None


class Values(Strict):
    """Conditions on a value that must all hold.

    Attributes:
        is_: the exact text, `*` included; not_: no pattern of these matches, or the attribute is absent.
        at_least, above, at_most, below: bounds of a number; text that is no number never matches.
    """

    model_config = ConfigDict(serialize_by_alias=True)

    is_: Pattern | None = Field(default=None, alias="is")
    not_: "Pattern | Patterns | None" = Field(default=None, alias="not")
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None

    @model_validator(mode="after")
    def _can_hold(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("state a condition: is, not, at_least, above, at_most or below")
        lows = [bound for bound in (self.at_least, self.above) if bound is not None]
        highs = [bound for bound in (self.at_most, self.below) if bound is not None]
        strict = self.above is not None or self.below is not None
        if lows and highs and (max(lows) > min(highs) or (strict and max(lows) == min(highs))):
            raise ValueError("no number lies in this range")
        return self


Selector = Annotated[
    Annotated[Pattern, Tag("pattern")] | Annotated[Patterns, Tag("patterns")] | Annotated[Values, Tag("condition")],
    Discriminator(
        _form,
        custom_error_type="selector",
        custom_error_message="write a `*` pattern, a list of them, or a condition: {not: '2*'} or {at_least: 500}",
    ),
]


def matcher(selector: str | tuple[str, ...] | Values) -> Matches:
    """Return the compiled test of a selector."""
    match selector:
        case str():
            return _pattern(selector)
        case tuple():
            each = [_pattern(pattern) for pattern in selector]
            return lambda value: any(test(value) for test in each)
        case Values():
            return _condition(selector)


def _pattern(text: str) -> Matches:
    if "*" not in text:
        return lambda value: value == text
    expression = re.compile(".*".join(re.escape(piece) for piece in text.split("*")), re.DOTALL)
    return lambda value: value is not None and expression.fullmatch(value) is not None


def _condition(condition: Values) -> Matches:
    tests: list[Matches] = []
    if condition.is_ is not None:
        tests.append(lambda value: value == condition.is_)
    if condition.not_ is not None:
        excluded = matcher(condition.not_)
        tests.append(lambda value: not excluded(value))
    bounds = (condition.at_least, condition.above, condition.at_most, condition.below)
    if any(bound is not None for bound in bounds):
        tests.append(lambda value: _within(condition, value))
    return lambda value: all(test(value) for test in tests)


def _within(range_: Values, value: str | None) -> bool:
    try:
        number = float(value or "")
    except ValueError:
        return False
    return (
        (range_.at_least is None or number >= range_.at_least)
        and (range_.above is None or number > range_.above)
        and (range_.at_most is None or number <= range_.at_most)
        and (range_.below is None or number < range_.below)
    )
