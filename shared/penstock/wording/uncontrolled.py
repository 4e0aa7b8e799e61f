"""Parts of the sentences about gates without a control group: a share and its budget, a service and its past."""

import math
from collections.abc import Mapping
from typing import Any

from penstock.wording.deciding import value_of
from penstock.wording.figures import amount, number, percent, share

KINDS = ("slo", "burn_rate", "own_history")
"""Kinds that compare with no baseline: with a budget, or with the past."""


def difference(gate: Mapping[str, Any]) -> str:
    """Return the canary's share of bad events, or the service's value, of a kind without a control group."""
    value, expected = value_of(gate, "canary"), value_of(gate, "baseline")
    if value is None:
        return "not measured yet"
    if gate["kind"] != "own_history":
        detail = gate.get("detail") or {}
        return (
            f"{share(value)} of requests over {_objective(detail)}" if "quantile" in detail else f"{share(value)} bad"
        )
    moved = f" ({percent(value / expected - 1.0)})" if expected else ""
    return f"{_shown(gate, value)}{moved}"


def limit(gate: Mapping[str, Any]) -> str:
    """Return what the value is held against."""
    most, detail = value_of(gate, "baseline"), gate.get("detail") or {}
    if most is None:
        return ""
    if gate["kind"] == "own_history":
        return f" where the service's own past says {_shown(gate, most)}"
    if "quantile" not in detail:
        return f" against a budget of {share(most)}"
    asked = f"p{100 * detail['quantile']:g} below {_objective(detail)}"
    return f" against the {share(most)} that {asked} allows{cut(detail)}"


def _objective(detail: Mapping[str, Any]) -> str:
    return amount(detail.get("limit", 0.0), detail.get("limit_unit", ""))


def cut(detail: Mapping[str, Any]) -> str:
    """Return which edges of its buckets lie around the limit of a latency objective, where it is none of them."""
    low, high, unit = detail.get("edge_low"), detail.get("edge_high"), detail.get("limit_unit", "")
    if low is None or (high is not None and math.isclose(low, high, rel_tol=1e-6)):
        return ""
    if high is None:
        return f"; its buckets end at {amount(low, unit)}"
    return f"; its buckets have edges at {amount(low, unit)} and {amount(high, unit)}, none between"


def _shown(gate: Mapping[str, Any], value: float) -> str:
    if (gate.get("detail") or {}).get("follows") == "share":
        return share(value)
    return amount(value, str(gate.get("unit") or ""))


def band(gate: Mapping[str, Any]) -> str:
    """Return the band of the share."""
    low, high, budget = gate.get("low"), gate.get("high"), value_of(gate, "baseline")
    if budget is None or (low is None and high is None):
        return ""
    bounds = [None if bound is None else share(budget * (1.0 + bound)) for bound in (low, high)]
    if bounds[0] is None:
        return f" (at most {bounds[1]})"
    return f" (at least {bounds[0]})" if bounds[1] is None else f" (band {bounds[0]} to {bounds[1]})"


def outcome(gate: Mapping[str, Any], word: str) -> str:
    """Return what an own history says of the alarm."""
    detail = gate.get("detail") or {}
    raised, limit = detail.get("alarm", 0.0), detail.get("alarm_limit", 0.0)
    level = f"alarm {number(raised)} of {limit:,.0f}"
    return f"unlike its past, {level}; it only advises" if word == "breach" else f"like its past, {level}"
