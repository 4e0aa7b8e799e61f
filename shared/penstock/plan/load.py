"""From a plan's exact text to a checked plan: all problems at once, each with its line."""

import hashlib
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import yaml
from pydantic import ValidationError

from penstock.errors import PlanError, Problem
from penstock.plan.impossible import impossible_selectors
from penstock.plan.model import Plan
from penstock.wording.problems import problems_of

Path = tuple[str, ...]
Lines = dict[Path, int]

MOST_CHARACTERS = 200_000
MOST_TOKENS = 30_000
MOST_PROBLEMS = 200
_MOST_TEXT = 500
MOST_LEVELS = 32
"""PyYAML takes quadratic time in the depth of flow collections, and Python's recursion ends at a thousand."""

_FLOW = (yaml.FlowSequenceStartToken, yaml.FlowMappingStartToken)
_OPEN = (yaml.BlockSequenceStartToken, yaml.BlockMappingStartToken, *_FLOW)
_CLOSE = (yaml.BlockEndToken, yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken)


class _Loader(yaml.SafeLoader):
    """YAML 1.1 without its surprise that `on`, `off`, `yes` and `no` are booleans: they are variants and words here."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf"))


def hash_of(text: str) -> str:
    """Return the SHA-256 of the plan's exact bytes: it stands in every decision."""
    return hashlib.sha256(text.encode()).hexdigest()


def load_plan(text: str, subject: str = "plan", *, new: bool = False) -> Plan:
    """Return the plan of this YAML text.

    Args:
        text: the exact text.
        subject: name of the file or request, for the error's first line.
        new: the plan comes in now. What earlier versions let in and cannot work is refused, too; plans that are
            recorded load without it.

    Raises:
        PlanError: with every problem found, in the order of the lines.
    """
    node = _compose(text, subject)
    lines: Lines = {}
    problems: list[Problem] = []
    _index(node, (), lines, problems)
    plan: Plan | None = None
    try:
        data = _Loader("").construct_document(node)
    except yaml.YAMLError as error:
        raise _unreadable(subject, error) from None
    except (ValueError, OverflowError) as error:
        # A date that the calendar lacks, a number of five thousand digits.
        raise PlanError(subject, [Problem("", f"holds a value that cannot be read: {error}")]) from None
    if not isinstance(data, dict):
        raise PlanError(subject, [Problem("", "a plan is a mapping; start with `version: 1`", 1)])
    try:
        plan = Plan.model_validate(data)
    except ValidationError as error:
        problems += [_located(problem, lines) for problem in problems_of(error, _known_keys())]
    problems += [_located(problem, lines) for problem in _crossings(data)]
    if new and plan is not None:
        problems += [_located(problem, lines) for problem in impossible_selectors(plan.gates)]
    if problems or plan is None:
        raise PlanError(subject, _listed(sorted(problems, key=lambda problem: problem.line or 0)))
    return plan


@cache
def _known_keys() -> tuple[str, ...]:
    """Every key that a plan can have somewhere."""
    schema = Plan.model_json_schema()
    parts = [schema, *schema.get("$defs", {}).values()]
    return tuple(sorted({name for part in parts for name in part.get("properties", {})}))


def _listed(problems: list[Problem]) -> list[Problem]:
    """Return the problems as far as anybody reads them: what is refused must not grow by being refused."""
    shown = [Problem(_cut(one.where), _cut(one.what), one.line) for one in problems[:MOST_PROBLEMS]]
    more = len(problems) - MOST_PROBLEMS
    return [*shown, Problem("", f"and {more} more problems")] if more > 0 else shown


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]} ..."


def _compose(text: str, subject: str) -> yaml.MappingNode:
    if len(text) > MOST_CHARACTERS:
        raise PlanError(subject, [Problem("", f"is longer than {MOST_CHARACTERS} characters")])
    try:
        if (problem := _unbounded(text)) is not None:
            raise PlanError(subject, [problem])
        node = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise _unreadable(subject, error) from None
    if not isinstance(node, yaml.MappingNode):
        raise PlanError(subject, [Problem("", "a plan is a mapping; start with `version: 1`", 1)])
    return node


def _unbounded(text: str) -> Problem | None:
    """Return what makes a text too costly to read, found while it is still cheap to stop."""
    levels = 0
    for count, token in enumerate(yaml.scan(text, Loader=_Loader)):
        line = token.start_mark.line + 1
        levels += isinstance(token, _OPEN) - isinstance(token, _CLOSE)
        if levels > MOST_LEVELS:
            return Problem("", f"is nested deeper than {MOST_LEVELS} levels", line)
        if count > MOST_TOKENS:
            return Problem("", f"has more than {MOST_TOKENS} words and marks", line)
        if isinstance(token, yaml.AliasToken):
            # A few nested aliases expand to gigabytes, and one can name itself.
            return Problem("", "plans take no aliases; write it out", line)
    return None


def _unreadable(subject: str, error: yaml.YAMLError) -> PlanError:
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or "is not YAML"
    return PlanError(subject, [Problem("", str(what), mark.line + 1 if mark else None)])


def _index(node: yaml.Node, path: Path, lines: Lines, problems: list[Problem]) -> None:
    lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            if name in seen:
                what = "stands twice; the second would silently win"
                problems.append(Problem(".".join((*path, name)), what, key.start_mark.line + 1))
            seen.add(name)
            _index(value, (*path, name), lines, problems)
            lines[(*path, name)] = key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for place, value in enumerate(node.value):
            _index(value, (*path, str(place)), lines, problems)


def _located(problem: Problem, lines: Lines) -> Problem:
    # pydantic puts the tag of a union's member into the path (gates.errors.ratio.bad): leave out what the file has not.
    path: Path = ()
    for part in problem.where.split("."):
        if (*path, part) in lines:
            path = (*path, part)
    return Problem(problem.where, problem.what, lines.get(path, 1))


def _crossings(data: dict[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong between parts that are each right; parts that are not even well-formed are passed over."""
    gates = data.get("gates")
    stages = [stage for stage in _list(data.get("stages")) if isinstance(stage, dict)]
    names: set[str] = set()
    for place, stage in enumerate(stages):
        yield from _stage(stage, f"stages.{place}", gates if isinstance(gates, dict) else {}, names)
        yield from _pages(stage, f"stages.{place}", data)
    yield from _steps(data)
    yield from _gates(gates if isinstance(gates, dict) else {})


def _stage(stage: dict[str, Any], where: str, gates: dict[str, Any], names: set[str]) -> Iterator[Problem]:
    name = str(stage.get("name"))
    if name in names:
        yield Problem(f"{where}.name", f"another stage is called {name!r} already")
    if name == "soak":
        yield Problem(f"{where}.name", "`soak` is the name of the time after the last stage; call it otherwise")
    names.add(name)
    for gate in map(str, _list(stage.get("gates"))):
        if gate not in gates:
            known = ", ".join(sorted(str(name)[:100] for name in gates)[:20]) or "none"
            yield Problem(f"{where}.gates", f"there is no gate {str(gate)[:100]!r}; there are: {known}")
        elif _only_advises(gates[gate]):
            yield Problem(f"{where}.gates", f"{gate!r} only advises: no stage can wait for it to pass")
    judged = list(map(str, _list(stage.get("gates")))) or list(gates)
    bounded = stage.get("on_inconclusive") == "promote_if_bounded"
    if bounded and not any(isinstance(gates.get(gate), dict) and gates[gate].get("hard_limit") for gate in judged):
        yield Problem(f"{where}.on_inconclusive", "`promote_if_bounded` needs a `hard_limit` at a gate of the stage")
    bake = stage.get("bake")
    if isinstance(bake, dict):
        low, high = bake.get("min"), bake.get("max")
        if isinstance(low, int) and isinstance(high, int) and high < low:
            yield Problem(f"{where}.bake", f"max ({high}) is below min ({low})")


def _only_advises(gate: Any) -> bool:
    return isinstance(gate, dict) and gate.get("authority", _OWN_AUTHORITY.get(str(gate.get("kind")))) == "advise"


_OWN_AUTHORITY = {"own_history": "advise"}


def _pages(stage: dict[str, Any], where: str, data: dict[str, Any]) -> Iterator[Problem]:
    rollback, policies = data.get("rollback"), stage.get("on_no_data")
    called = rollback.get("escalate_to") if isinstance(rollback, dict) else None
    if isinstance(policies, dict) and "page" in policies.values() and not called:
        yield Problem(f"{where}.on_no_data", "`page` calls `rollback.escalate_to`, which names nobody")


def _steps(data: dict[str, Any]) -> Iterator[Problem]:
    rollback = data.get("rollback")
    steps = _list(rollback.get("steps")) if isinstance(rollback, dict) else []
    names: set[str] = set()
    for place, step in enumerate(steps):
        if isinstance(step, dict):
            name = str(step.get("name", step.get("kind")))
            if name in names:
                yield Problem(f"rollback.steps.{place}", f"another step is called {name!r} already")
            names.add(name)


def _gates(gates: dict[str, Any]) -> Iterator[Problem]:
    for name, gate in gates.items():
        if not isinstance(gate, dict):
            continue
        named = bool(gate.get("bad")) + bool(gate.get("bad_metric"))
        if _counts_bad(gate) and named != 1:
            yield Problem(f"gates.{name}", "say which events are bad: either `bad` attributes or a `bad_metric`")
        elif str(gate.get("kind")) in _MAY_COUNT_BAD and not _counts_bad(gate) and named:
            yield Problem(f"gates.{name}", "`bad` and `bad_metric` mark events of a share; this gate follows none")


_MAY_COUNT_BAD = {"slo", "own_history"}


def _counts_bad(gate: dict[str, Any]) -> bool:
    match gate.get("kind"):
        case "ratio" | "burn_rate":
            return True
        case "slo":
            return "quantile" not in gate and "below" not in gate
        case "own_history":
            return gate.get("follows") == "ratio"
        case _:
            return False


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
