"""A flag's definition as a person writes it, checked completely before it is accepted."""

from typing import Any

import msgspec

from penstock.chain import Document
from penstock.errors import InvalidError, Problem
from services.flag_control.evaluation.validate import check
from services.flag_control.flag.exposure import TOTAL, flag_document, key_of
from services.flag_control.flag.lifecycle import TYPES, moment
from services.flag_control.flag.state import Definition, FlagState, Reach

_WORDS = frozenset({"attribute", "any_of", "starts_with", "ends_with"})


def parse_definition(target: str, document: Document) -> Definition:
    """Return the definition.

    Raises:
        InvalidError: every problem found, in the definition and in the flag that it would make.
    """
    try:
        definition = msgspec.convert(document, Definition)
    except msgspec.ValidationError as error:
        raise InvalidError("flag definition", [Problem("", str(error))]) from None
    problems = [
        *_nulls(definition),
        *_names(definition),
        *_split(definition),
        *_segments(definition),
        *_lifecycle(definition),
    ]
    if not problems:
        problems = list(_flag_problems(target, definition))
    if problems:
        raise InvalidError("flag definition", problems)
    return definition


def _nulls(definition: Definition) -> list[Problem]:
    # The record keeps changes as merge patches, in which a null in an object takes the entry away.
    found: list[Problem] = []
    rest: list[tuple[str, Document]] = [
        ("variants", definition.variants), ("targeting", definition.targeting), ("metadata", definition.metadata)
    ]  # fmt: skip
    while rest:
        place, value = rest.pop()
        for name, inner in value.items():
            if inner is None:
                found.append(Problem(f"{place}.{name}", "null would mean a removal; leave it out"))
            elif isinstance(inner, dict):
                rest.append((f"{place}.{name}", inner))
    return found


def _names(definition: Definition) -> list[Problem]:
    named = [("off", definition.off), ("on", definition.on)]
    named += [(f"split.{name}", name) for name in definition.split]
    named += [(f"pins.{segment}", name) for segment, name in definition.pins.items()]
    missing = [(where, name) for where, name in named if name not in definition.variants]
    there = ", ".join(sorted(definition.variants))
    # With a split nobody is given `on`, so its default name needs no variant.
    return [
        Problem(where, f"{name!r} is no variant: there are {there}")
        for where, name in missing
        if not (where == "on" and definition.split)
    ]


def _split(definition: Definition) -> list[Problem]:
    found = []
    if any(weight < 0 for weight in definition.split.values()) or (
        definition.split and sum(definition.split.values()) == 0
    ):
        found.append(Problem("split", "weights must be whole numbers from 0, not all 0"))
    if definition.off in definition.split:
        found.append(Problem(f"split.{definition.off}", "is the baseline; the exposure says how many get it"))
    part = definition.slice
    if part is not None and not (part.salt and 0 <= part.start < part.end <= TOTAL):
        found.append(Problem("slice", f"needs a salt and 0 <= start < end <= {TOTAL}"))
    return found


def _segments(definition: Definition) -> list[Problem]:
    found = [Problem(f"pins.{name}", "names no segment") for name in definition.pins if name not in definition.segments]
    for name, conditions in definition.segments.items():
        if not conditions:
            found.append(Problem(f"segments.{name}", "needs at least one condition"))
        for index, condition in enumerate(conditions):
            where = f"segments.{name}.{index}"
            named = isinstance(condition.get("attribute"), str) and condition["attribute"]
            if not named or set(condition) - _WORDS or len(condition) < 2:
                found.append(Problem(where, "needs `attribute` and one of any_of, starts_with, ends_with"))
            elif not all(condition.values()):
                # An empty word would hold for everyone who has the attribute.
                found.append(Problem(where, "any_of, starts_with and ends_with must not be empty"))
            elif not _texts(condition):
                found.append(Problem(where, "any_of takes a list of strings, starts_with and ends_with a string"))
    return found


def _texts(condition: Document) -> bool:
    values: Any = condition.get("any_of", [])
    whole = isinstance(values, list) and all(isinstance(value, str) for value in values)
    return whole and all(isinstance(condition.get(word, ""), str) for word in ("starts_with", "ends_with"))


def _lifecycle(definition: Definition) -> list[Problem]:
    lifecycle = definition.lifecycle
    found = []
    if lifecycle.type not in TYPES:
        found.append(Problem("lifecycle.type", f"{lifecycle.type!r} is none of {', '.join(TYPES)}"))
    found += [
        Problem(f"lifecycle.{name}", f"{text!r} is no ISO 8601 day or moment")
        for name, text in (("created", lifecycle.created), ("expires", lifecycle.expires))
        if text and moment(text) is None
    ]
    return found


def _flag_problems(target: str, definition: Definition) -> tuple[Problem, ...]:
    """Return what publishing would refuse, of the flag half exposed: then every part of it is there."""
    state = FlagState(version=1, definition=definition, reach=Reach(exposure=0.5))
    try:
        check(target, {"flags": {key_of(target): flag_document(target, state)}}, lenient=definition.lenient)
        if definition.targeting:
            imported = FlagState(version=1, definition=definition)
            check(target, {"flags": {key_of(target): flag_document(target, imported)}}, lenient=definition.lenient)
    except InvalidError as error:
        return error.problems
    return ()
