"""The bounds that decide a gate, each beside its own line: `at least +12 ms, rolls back above +25 ms`."""

from collections.abc import Callable, Mapping
from typing import Any

from penstock.wording.figures import amount, percent, points, share

Shown = Callable[[float], str]
_VERBS = {"rollback": "rolls back", "hold": "holds", "advise": "advises"}


def value_of(gate: Mapping[str, Any], side: str) -> float | None:
    """Return the value of `canary` or `baseline`."""
    found = (gate.get(side) or {}).get("value")
    return float(found) if found is not None else None


def shown_by(kind: str, unit: str | None) -> Shown:
    """Return how an absolute difference of a kind is written."""
    if unit:
        return lambda value: amount(value, unit, signed=True)
    return (lambda value: points(value, signed=True)) if kind == "ratio" else percent


def decided_by_bounds(gate: Mapping[str, Any]) -> bool:
    """Whether the event carries what decides the gate; events of older judges do not."""
    return gate.get("fails") is not None


def fails_clause(gate: Mapping[str, Any]) -> str:
    """Return the bound that a breach needs beside its line: `at least +12 ms, rolls back above +25 ms`."""
    return _clause(gate, "fails", _VERBS[str(gate.get("authority") or "rollback")], breach=True)


def passes_clause(gate: Mapping[str, Any]) -> str:
    """Return the bound that a pass needs beside its line: `at most +38 ms, passes below +50 ms`."""
    return _clause(gate, "passes", "passes", breach=False)


def _clause(gate: Mapping[str, Any], side: str, verb: str, *, breach: bool) -> str:
    found = gate.get(side)
    if found is None:
        return ""
    line, bound = lines_of(gate, side)
    down = found.get("worse") == "down"
    where = "below" if down is breach else "above"
    rule = f"{verb} {where} {line}"
    if bound is None:
        return rule
    return f"{'at most' if down is breach else 'at least'} {_apart(bound, line)}, {rule}"


def _apart(bound: str, line: str) -> str:
    """Return the bound; rounded to the same figures as the line, it is said to be near it."""
    return f"about {bound}" if bound == line else bound


def lines_of(gate: Mapping[str, Any], side: str) -> tuple[str, str | None]:
    """Return line and bound of `fails` or `passes` in the measure that the gate's readers think in."""
    found: Mapping[str, Any] = gate[side]
    budget = value_of(gate, "baseline")
    if gate["kind"] in ("slo", "burn_rate") and budget is not None:
        show: Shown = share
        pair = (budget * (1.0 + found["line"]), _times(budget, found.get("bound")))
    elif found.get("absolute_line") is not None and (gate.get("unit") or gate["kind"] == "ratio"):
        show = shown_by(gate["kind"], gate.get("unit"))
        pair = (found["absolute_line"], found.get("absolute_bound"))
    else:
        show, pair = percent, (found["line"], found.get("bound"))
    return show(pair[0]), None if pair[1] is None else show(pair[1])


def _times(budget: float, bound: float | None) -> float | None:
    return None if bound is None else budget * (1.0 + bound)
