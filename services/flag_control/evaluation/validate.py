"""Checks flags before any client sees them: one bad flag makes a Python client reject its whole set."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import OpenFeatureError

from penstock.errors import InvalidError, Problem
from penstock.wire.depth import MOST_LEVELS, too_deep, unwritable
from services.flag_control.evaluation.bucketing import WARNINGS, Bucketing, Document, splits
from services.flag_control.evaluation.evaluator import Evaluator
from services.flag_control.evaluation.source import Source
from services.flag_control.evaluation.targeting_rules import check_targeting

_KEY = re.compile(r"[A-Za-z0-9._/-]{1,200}")
_FIELDS = ("state", "variants", "defaultVariant", "targeting", "metadata")
_SILENT = ("description",)
_TOP = frozenset({"flags", "metadata", "$evaluators", "$schema"})
_STATES = frozenset({"ENABLED", "DISABLED"})
_MOST_PARTS = 100_000
_PROBE = EvaluationContext("penstock-check", {})


@dataclass(frozen=True)
class Checked:
    """A set that may be published, with its warnings."""

    source: Source
    warnings: tuple[Problem, ...] = ()


def check_text(name: str, text: str | bytes, *, lenient: bool = False, bucketing: Bucketing = Bucketing.V3) -> Checked:
    """Return the set that a flagd JSON text holds.

    Raises:
        InvalidError: it is no JSON, repeats a key, or is no valid set; every problem is listed.
    """
    repeated: list[str] = []

    def pairs(items: list[tuple[str, Any]]) -> Document:
        found: Document = {}
        for key, value in items:
            if key in found:
                repeated.append(key)
            found[key] = value
        return found

    try:
        document = json.loads(text, object_pairs_hook=pairs, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidError(f"flags of {name}", [Problem("", f"is not JSON: {error}")]) from None
    if repeated and not lenient:
        raise InvalidError(f"flags of {name}", [Problem("", f"repeats the key {key!r}") for key in repeated])
    return check(name, document, lenient=lenient, bucketing=bucketing)


def check(name: str, document: Any, *, lenient: bool = False, bucketing: Bucketing = Bucketing.V3) -> Checked:
    """Return the set with `$ref` resolved and set metadata merged under the flags' own.

    Lenient, what would fail one evaluation is a warning, and what clients would trip over is left out.

    Raises:
        InvalidError: every problem found.
    """
    listed = document.get("flags") if isinstance(document, dict) else None
    given = _by_key(name, listed) if isinstance(listed, list) else listed
    if not isinstance(given, dict):
        wanted = "must be an object of flags by key, or a list of flags with `key`"
        raise InvalidError(f"flags of {name}", [Problem("flags", wanted)])
    if too_deep(document):
        raise InvalidError(f"flags of {name}", [Problem("", f"is nested deeper than {MOST_LEVELS} levels")])
    if (what := unwritable(document)) is not None:
        raise InvalidError(f"flags of {name}", [Problem("", what)])
    hard: list[Problem] = []
    soft = hard if not lenient else []
    set_metadata = _metadata(document.get("metadata"), "metadata", soft, hard)
    evaluators = document.get("$evaluators", {})
    if not isinstance(evaluators, dict):
        hard.append(Problem("$evaluators", "must be an object of rules by name"))
        evaluators = {}
    flags: dict[str, Document] = {}
    for key, flag in given.items():
        served = _flag(key, flag, evaluators, soft, hard)
        if served is not None:
            own = {**set_metadata, **served.get("metadata", {})}
            flags[key] = {**served, **({"metadata": own} if own else {})}
    source = Source(name, flags, set_metadata, bucketing)
    if not hard:
        _loaded(source, soft, hard)
    if hard:
        raise InvalidError(f"flags of {name}", hard)
    split = any(splits(flag.get("targeting")) for flag in flags.values())
    mixed = (Problem("", WARNINGS[bucketing]),) if split else ()
    return Checked(source, (*_left_out(document, given), *(soft if lenient else ()), *mixed))


def _by_key(name: str, flags: list[Any]) -> dict[str, Any]:
    """Return a list of flags as flagd takes it, by key.

    Raises:
        InvalidError: flags without a key, or two with the same; every problem is listed.
    """
    found: dict[str, Any] = {}
    problems = []
    for index, flag in enumerate(flags):
        key = flag.get("key") if isinstance(flag, dict) else None
        if not isinstance(key, str):
            problems.append(Problem(f"flags.{index}", "must be an object with `key`, a string"))
        elif key in found:
            problems.append(Problem(f"flags.{index}.key", f"repeats the key {key!r}"))
        else:
            found[key] = {field: value for field, value in flag.items() if field != "key"}
    if problems:
        raise InvalidError(f"flags of {name}", problems)
    return found


def _left_out(document: Mapping[str, Any], flags: Mapping[str, Any]) -> list[Problem]:
    # The schema of flagd lets sets and flags have fields of their owner's; a misspelt field is one, too.
    top = [Problem(field, "is no field of a flag set and is left out") for field in sorted(set(document) - _TOP)]
    return top + [
        Problem(f"flags.{key}.{field}", f"is no field of flagd and is left out; there are {', '.join(_FIELDS)}")
        for key, flag in flags.items()
        for field in flag
        if field not in (*_FIELDS, *_SILENT)
    ]


def _flag(
    key: str, flag: Any, evaluators: Mapping[str, Any], soft: list[Problem], hard: list[Problem]
) -> Document | None:
    where = f"flags.{key}"
    if not _KEY.fullmatch(key) or ".." in key:
        soft.append(Problem(where, "the key must be 1 to 200 of A-Z a-z 0-9 . _ / - without `..`"))
    if not isinstance(flag, dict):
        hard.append(Problem(where, "must be an object"))
        return None
    served = {field: flag[field] for field in _FIELDS if flag.get(field) is not None}
    if served.get("state") not in _STATES:
        hard.append(Problem(f"{where}.state", "must be ENABLED or DISABLED"))
    variants = served.get("variants")
    if not isinstance(variants, dict) or not variants:
        hard.append(Problem(f"{where}.variants", "must be an object with at least one variant"))
        variants = {}
    soft += _variant_problems(variants, f"{where}.variants")
    soft += _default_problems(served, variants, where, hard)
    if "metadata" in served:
        served["metadata"] = _metadata(served["metadata"], f"{where}.metadata", soft, hard)
    if "targeting" in served:
        references = _References(evaluators)
        served["targeting"] = references.resolved(served["targeting"])
        if references.boundless:
            hard.append(Problem(f"{where}.targeting", f"grows beyond {_MOST_PARTS:,} parts by its `$ref`s"))
            return None
        if too_deep(served["targeting"]):
            hard.append(Problem(f"{where}.targeting", f"is nested deeper than {MOST_LEVELS} levels by its `$ref`s"))
            return None
        if not isinstance(served["targeting"], dict):
            hard.append(Problem(f"{where}.targeting", "must be an object (a JsonLogic rule)"))
            return served
        soft += check_targeting(served["targeting"], variants, f"{where}.targeting")
        if not served["targeting"]:
            del served["targeting"]
    return served


def _default_problems(served: Document, variants: Mapping[str, Any], where: str, hard: list[Problem]) -> list[Problem]:
    default = served.get("defaultVariant")
    if default is None:
        return []
    if not isinstance(default, str):
        hard.append(Problem(f"{where}.defaultVariant", "must be the name of a variant, or null for the code's default"))
        return []
    if default not in variants:
        return [Problem(f"{where}.defaultVariant", f"{default!r} is no variant: {', '.join(sorted(variants))}")]
    return []


def _variant_problems(variants: Mapping[str, Any], where: str) -> list[Problem]:
    kinds = {_kind(value) for value in variants.values()}
    found = [Problem(f"{where}.{name}", "must have a value") for name, value in variants.items() if value is None]
    if len(kinds) > 1:
        found.append(Problem(where, f"must share one type, these are {' and '.join(sorted(kinds))}"))
    if any(not name for name in variants):
        found.append(Problem(where, "a variant needs a name"))
    return found


def _kind(value: Any) -> str:
    match value:
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case dict() | list():
            return "object"
        case _:
            return "null"


def _metadata(metadata: Any, where: str, soft: list[Problem], hard: list[Problem]) -> Document:
    if metadata is None:
        return {}
    if not isinstance(metadata, dict):
        hard.append(Problem(where, "must be an object"))
        return {}
    bad = [name for name, value in metadata.items() if not name or not isinstance(value, bool | int | float | str)]
    soft += [Problem(f"{where}.{name}", "must be a string, a number or a boolean") for name in bad]
    return {name: value for name, value in metadata.items() if name not in bad}


class _References:
    """Replaces `{"$ref": name}`; one to nothing, or to itself, stays and fails the evaluation that meets it.

    Attributes:
        boundless: the rule became too large or too deep, and is not whole.
    """

    def __init__(self, evaluators: Mapping[str, Any]) -> None:
        self._evaluators = evaluators
        self._parts = 0
        self.boundless = False

    def resolved(self, rule: Any, within: tuple[str, ...] = (), level: int = 0) -> Any:
        """Return the rule with the evaluators in place of their names."""
        self._parts += 1
        if self.boundless or self._parts > _MOST_PARTS or level > 2 * MOST_LEVELS:
            self.boundless = True
            return None
        if isinstance(rule, list):
            return [self.resolved(item, within, level + 1) for item in rule]
        if not isinstance(rule, dict):
            return rule
        name = rule.get("$ref")
        if len(rule) == 1 and isinstance(name, str) and name in self._evaluators and name not in within:
            return self.resolved(self._evaluators[name], (*within, name), level + 1)
        return {key: self.resolved(value, within, level + 1) for key, value in rule.items()}


def _loaded(source: Source, soft: list[Problem], hard: list[Problem]) -> None:
    """Load the set into a fresh core and evaluate each flag once."""
    try:
        evaluator = Evaluator(source.flags, dict.fromkeys(source.flags, source.bucketing))
    except (OpenFeatureError, RecursionError) as error:
        hard.append(Problem("flags", f"openfeature-flagd-core refuses the set: {error}"))
        return
    for key in source.flags:
        try:
            evaluator.resolve(key, _PROBE)
        except OpenFeatureError as error:
            soft.append(Problem(f"flags.{key}", f"does not evaluate: {error.error_message or type(error).__name__}"))
        except Exception:  # noqa: S112 - a rule may need attributes that the probe's context does not have
            continue


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON number")
