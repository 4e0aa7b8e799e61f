"""What a validator found, in words for the person who wrote the file or request; input values are not repeated."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from penstock.errors import Problem

Context = Mapping[str, Any]

_PATTERNS = {
    "^https?://": "must start with http:// or https://",
    "^https?://[^/]": "must start with http:// or https:// and name a host",
    "^[0-9a-f]{64}$": "must be 64 hexadecimal digits",
}
"""Sentence by the pattern of a text, where the pattern itself says too little."""

_SENTENCES: dict[str, Callable[[Context], str]] = {
    "missing": lambda ctx: "is missing",
    "extra_forbidden": lambda ctx: "is not a known key",
    "int_type": lambda ctx: "must be a whole number",
    "int_parsing": lambda ctx: "must be a whole number",
    "int_parsing_size": lambda ctx: "is too large a number",
    "int_from_float": lambda ctx: "must be a whole number",
    "float_type": lambda ctx: "must be a number",
    "float_parsing": lambda ctx: "must be a number",
    "finite_number": lambda ctx: "must be a finite number",
    "bool_type": lambda ctx: "must be true or false",
    "bool_parsing": lambda ctx: "must be true or false",
    "string_type": lambda ctx: "must be text; put it in quotes",
    "string_too_short": lambda ctx: _at_least(ctx, "character"),
    "string_too_long": lambda ctx: _at_most(ctx, "character"),
    "too_short": lambda ctx: _at_least(ctx, "entry"),
    "too_long": lambda ctx: _at_most(ctx, "entry"),
    "list_type": lambda ctx: "must be a list",
    "tuple_type": lambda ctx: "must be a list",
    "set_type": lambda ctx: "must be a list",
    "frozen_set_type": lambda ctx: "must be a list",
    "dict_type": lambda ctx: "must be a mapping",
    "model_type": lambda ctx: "must be a mapping",
    "model_attributes_type": lambda ctx: "must be a mapping",
    "greater_than": lambda ctx: f"must be above {ctx['gt']:g}",
    "greater_than_equal": lambda ctx: f"must be at least {ctx['ge']:g}",
    "less_than": lambda ctx: f"must be below {ctx['lt']:g}",
    "less_than_equal": lambda ctx: f"must be at most {ctx['le']:g}",
    "literal_error": lambda ctx: f"must be {ctx['expected']}",
    "enum": lambda ctx: f"must be {ctx['expected']}",
    "union_tag_not_found": lambda ctx: f"needs the key {_plain(ctx['discriminator'])}",
    "union_tag_invalid": lambda ctx: f"{_plain(ctx['discriminator'])} must be one of {ctx['expected_tags']}",
    "datetime_type": lambda ctx: "must be a time such as 2026-01-31T12:00:00Z",
    "datetime_parsing": lambda ctx: "must be a time such as 2026-01-31T12:00:00Z",
    "datetime_from_date_parsing": lambda ctx: "must be a time such as 2026-01-31T12:00:00Z",
    "timezone_aware": lambda ctx: "must be a time with its zone, such as 2026-01-31T12:00:00Z",
    "url_parsing": lambda ctx: "must be a URL",
    "string_pattern_mismatch": lambda ctx: _PATTERNS.get(ctx["pattern"], f"must match {ctx['pattern']}"),
    "json_invalid": lambda ctx: "is not JSON",
}
"""Sentence by the validator's type of error; others keep the validator's own message."""


_MOST_PROBLEMS = 200


def problems_of(error: ValidationError, known: Iterable[str] = ()) -> list[Problem]:
    """Return pydantic's findings as problems, in their order.

    Args:
        error: what validation raised.
        known: keys that exist somewhere in the document's model, to suggest the one that was meant.
    """
    every = error.errors(include_url=False, include_input=False)
    # What is refused must not grow by being refused, and to suggest a key costs more than to read one.
    entries = every[:_MOST_PROBLEMS]
    names = sorted(set(known))
    places = [tuple(str(part)[:100] for part in entry["loc"]) for entry in entries]
    found = []
    for entry, place in zip(entries, places, strict=True):
        if entry["type"] == "too_short" and any(_below(other, place) for other in places):
            # The list has entries; it only looks short to the validator because they are wrong themselves.
            continue
        found.append(Problem(".".join(place), _sentence(entry["type"], entry.get("ctx", {}), entry["msg"])))
        if entry["type"] == "extra_forbidden":
            found[-1] = Problem(found[-1].where, found[-1].what + _meant(place[-1], names))
    more = len(every) - len(entries)
    return [*found, Problem("", f"and {more} more problems")] if more else found


def _meant(written: str, names: list[str]) -> str:
    close = difflib.get_close_matches(written, names, n=1, cutoff=0.7)
    return f"; did you mean `{close[0]}`?" if close else ""


def _sentence(kind: str, context: Context, message: str) -> str:
    words = _SENTENCES.get(kind)
    return words(context) if words else message.removeprefix("Value error, ")


def _below(place: tuple[str, ...], above: tuple[str, ...]) -> bool:
    return len(place) > len(above) and place[: len(above)] == above


def _at_least(context: Context, unit: str) -> str:
    return f"must have at least {_counted(context['min_length'], unit)}"


def _at_most(context: Context, unit: str) -> str:
    return f"must have at most {_counted(context['max_length'], unit)}"


def _counted(count: int, unit: str) -> str:
    plural = unit.removesuffix("y") + "ies" if unit.endswith("y") else unit + "s"
    return f"{count} {unit if count == 1 else plural}"


def _plain(discriminator: str) -> str:
    return f"`{discriminator.strip(chr(39))}`"
