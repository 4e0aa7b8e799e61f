"""flagd files read for an import: each flag as a definition of ours."""

import json
from pathlib import Path
from typing import Any

from penstock.errors import InvalidError, Problem
from penstock.wire.depth import MOST_LEVELS, too_deep

Document = dict[str, Any]

_LIFECYCLE = ("owner", "type", "created", "expires", "ticket", "notes")
_MANAGED = ("flagSetId", "version", "permanent", *_LIFECYCLE)


def definitions_of(path: Path, lenient: bool) -> dict[str, Document]:
    """Return definitions by key; a list of flags with `key` (the import form of flagd) is read as well.

    Raises:
        InvalidError: the file is no flagd file, or flags do not say which variant is safe; all problems are listed.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidError(str(path), [Problem("", f"cannot be read: {error}")]) from None
    if too_deep(document):
        raise InvalidError(str(path), [Problem("", f"is nested deeper than {MOST_LEVELS} levels")])
    flags = document.get("flags") if isinstance(document, dict) else None
    if isinstance(flags, list):
        flags = {str(flag.get("key")): flag for flag in flags if isinstance(flag, dict)}
    if not isinstance(flags, dict) or not flags:
        raise InvalidError(str(path), [Problem("flags", "must be flags by key, or a list of flags with `key`")])
    evaluators = document.get("$evaluators", {})
    problems: list[Problem] = []
    found = {key: _definition(key, flag, evaluators, lenient, problems) for key, flag in flags.items()}
    if problems:
        raise InvalidError(str(path), problems)
    return found


def _definition(key: str, flag: Any, evaluators: Document, lenient: bool, problems: list[Problem]) -> Document:
    where = f"flags.{key}"
    variants = flag.get("variants") if isinstance(flag, dict) else None
    if not isinstance(variants, dict) or not variants:
        problems.append(Problem(f"{where}.variants", "must be an object with at least one variant"))
        return {}
    off = flag.get("defaultVariant")
    if off not in variants:
        problems.append(Problem(f"{where}.defaultVariant", "must name the variant that is safe: a kill serves it"))
        return {}
    metadata = flag.get("metadata") or {}
    lifecycle = {name: metadata[name] for name in _LIFECYCLE if isinstance(metadata.get(name), str)}
    if metadata.get("permanent") is True:
        lifecycle["permanent"] = True
    return {
        "variants": variants,
        "off": off,
        "on": next((name for name in variants if name != off), off),
        "state": flag.get("state", "ENABLED"),
        "metadata": {name: value for name, value in metadata.items() if name not in _MANAGED},
        **({"targeting": _resolved(flag["targeting"], evaluators)} if flag.get("targeting") else {}),
        **({"lifecycle": lifecycle} if lifecycle else {}),
        **({"lenient": True} if lenient else {}),
    }


def _resolved(rule: Any, evaluators: Document, within: tuple[str, ...] = ()) -> Any:
    if isinstance(rule, list):
        return [_resolved(item, evaluators, within) for item in rule]
    if not isinstance(rule, dict):
        return rule
    name = rule.get("$ref")
    if len(rule) == 1 and isinstance(name, str) and name in evaluators and name not in within:
        return _resolved(evaluators[name], evaluators, (*within, name))
    return {key: _resolved(value, evaluators, within) for key, value in rule.items()}
