"""Verdicts as sentences, from the JSON form of a `stage.judged` event. Pure."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from penstock.wording import uncontrolled
from penstock.wording.deciding import decided_by_bounds, fails_clause, passes_clause, shown_by, value_of
from penstock.wording.figures import amount, percent, points, share, towards, windows
from penstock.wording.outlooks import outlook

_NO_DATA = {
    "no_traffic": "one cohort served no requests",
    "telemetry_outage": "no telemetry arrived",
    "metric_never_seen": "the metric has never been reported: check its name in the plan",
    "too_few_samples": "too few samples",
    "late_data": "the window closed before all of its data arrived",
    "unattributed": "too many events belong to neither cohort",
}
_FLAGS = {
    "traffic_split": "the traffic split differs from the configured one",
    "warm_up": "warm-up windows do not count",
    "late": "the window closed without some of its data",
    "reset": "counters were reset",
    "catastrophe": "no canary instance is alive, or (judge version 4) most canary requests failed",
}
_DOUBTS = {
    "default_buckets": "it uses the SDK's default buckets, which are meant for milliseconds",
    "mixed_buckets": "its sources use bucket bounds that cannot be added up",
    "no_buckets": "its histogram has no buckets",
    "no_sum": "its histogram has no sum",
    "negative_values": "it contains negative values",
    "wrong_kind": "its instrument is of another kind than the gate needs",
    "other_unit": "its unit differs from the gate's",
    "no_traffic": "no gate counts the requests that it is compared by",
    "too_many_series": "it has more series than Penstock keeps",
    "unattributed": "too many of its events belong to neither cohort: check the attributes that name the variant",
    "two_writers": "two processes write one series: give each a `service.instance.id`",
    "points_dropped": "too many of its points were left out",
    "more_bad_than_all": "it counts more bad events than events",
    "bad_never_seen": "no bad event has ever been reported: no errors yet, or a selector that matches none",
}


def explain_gate(gate: Mapping[str, Any]) -> str:
    """Return one sentence about one gate.

    Args:
        gate: a gate of a `stage.judged` event, as JSON-able values.
    """
    name = gate["gate"]
    if gate.get("no_data") and gate["word"] != "breach":
        return f"{name}: no data, {_why_no_data(gate)}{_until(gate)}"
    if decided_by_bounds(gate):
        return f"{name} {_by_bounds(gate)}{_warning(gate)}"
    numbers = f"{_difference(gate)}{_band(gate)}{_lately(gate)}{_limit(gate)}"
    return f"{name} {numbers}: {_outcome(gate)}{_warning(gate)}"


def _by_bounds(gate: Mapping[str, Any]) -> str:
    """Return difference, deciding bounds and word of a gate whose event carries what decides it."""
    word, recent = str(gate["word"]), _recent_instead(gate)
    wanted = {"breach": (fails_clause,), "passed": (passes_clause,)}.get(word, (fails_clause, passes_clause))
    clauses = [text for text in (clause(gate) for clause in wanted) if text] or [fails_clause(gate)]
    tails = word == "breach" and (gate.get("detail") or {}).get("tails", 1) > 1
    subject = "the tail from there on " if tails else ""
    said = f"{_difference(gate)}{recent} ({subject}{'; '.join(clauses)}{_snapped_to(gate)})"
    return f"{said}: {_ending(gate, word)}"


def _recent_instead(gate: Mapping[str, Any]) -> str:
    """Return the recent difference where a breach rests on it: the whole rollout's is short of the bound."""
    fails, estimate = gate.get("fails") or {}, gate.get("estimate")
    recent, bound = (gate.get("detail") or {}).get("recent"), fails.get("bound")
    if gate["word"] != "breach" or gate["kind"] in uncontrolled.KINDS:
        return ""
    if recent is None or bound is None or estimate is None:
        return ""
    sign = -1.0 if fails.get("worse") == "down" else 1.0
    return f", lately {_of_gate(gate)(recent)}" if sign * estimate < sign * bound <= sign * recent else ""


def _ending(gate: Mapping[str, Any], word: str) -> str:
    if word in ("breach", "passed"):
        return word
    if gate.get("final"):
        return "undecided, the bake is over"
    return outlook(gate) or "too early to tell"


def _snapped_to(gate: Mapping[str, Any]) -> str:
    if gate["kind"] == "slo":
        return uncontrolled.cut(gate.get("detail") or {})
    asked, effective = gate.get("tolerance"), gate.get("tolerance_effective")
    if asked is None or effective is None or gate["kind"] not in ("quantile", "mean"):
        return ""
    if math.isclose(asked, effective, abs_tol=5e-4):
        return ""
    return f"; the plan asks for {percent(asked)}, buckets allow {percent(effective)}"


def explain_verdict(event: Mapping[str, Any]) -> list[str]:
    """Return sentences about a whole verdict: the decision first, then every gate, worst evidence first.

    Args:
        event: a `stage.judged` event, as JSON-able values.
    """
    gates = sorted(event.get("gates", ()), key=_rank)
    return [_headline(event), *(explain_gate(gate) for gate in gates)]


def _why_no_data(gate: Mapping[str, Any]) -> str:
    reason, doubt = str(gate["no_data"]), gate.get("doubt")
    words = _NO_DATA.get(reason, reason)
    if doubt is None or doubt == "bad_never_seen":
        return words
    return f"{_DOUBTS.get(doubt, doubt)} ({doubt})"


def _until(gate: Mapping[str, Any]) -> str:
    needed = gate.get("windows_needed")
    if needed is None or gate["kind"] != "own_history":
        return ""
    return f": of its own past, which takes about {windows(needed)} more"


def _warning(gate: Mapping[str, Any]) -> str:
    doubt = gate.get("doubt")
    return "" if doubt is None else f"; {_DOUBTS.get(doubt, doubt)}"


def _headline(event: Mapping[str, Any]) -> str:
    word = str(event["word"]).replace("_", " ")
    state = "final" if event.get("final") else "still watching"
    judged = event.get("judged", 0)
    line = f"{word} ({state}) after {judged} judged window{'' if judged == 1 else 's'}"
    evidence, threshold = event.get("evidence"), event.get("threshold")
    if evidence is not None and threshold is not None:
        line += f"; evidence of harm 1 in {_odds(evidence)} under no harm, a breach needs 1 in {_odds(threshold)}"
    line += _blamed(event)
    notes = [_FLAGS[flag] for flag in event.get("flags", ()) if flag in _FLAGS]
    return f"{line}{'; ' if notes else ''}{', '.join(notes)}"


def _blamed(event: Mapping[str, Any]) -> str:
    blamed = ", ".join(event.get("blamed", ()))
    if not blamed:
        return ""
    alone = any(gate.get("word") == "breach" for gate in event.get("gates", ()))
    if event.get("word") == "breach" and not alone and event.get("gates") and "evidence" in event.get("flags", ()):
        return f"; no gate alone, but together, most evidence first: {blamed}"
    return f"; blamed: {blamed}"


def _rank(gate: Mapping[str, Any]) -> tuple[int, float]:
    order = {"breach": 0, "no_data": 1, "inconclusive": 2, "passed": 3}
    return order.get(str(gate.get("word")), 4), -(gate.get("evidence") or 0.0)


def _odds(log10: float) -> str:
    if log10 <= 0:
        return "1"
    return f"{10**log10:,.0f}" if log10 < 6 else f"10^{log10:.0f}"


def _difference(gate: Mapping[str, Any]) -> str:
    if gate["kind"] in uncontrolled.KINDS:
        return uncontrolled.difference(gate)
    absolute, unit = gate.get("absolute"), gate.get("unit")
    if absolute is not None and unit:
        return amount(absolute, unit, signed=True)
    if gate["kind"] == "ratio" and absolute is not None:
        return points(absolute, signed=True)
    estimate = gate.get("estimate")
    return "not measured yet" if estimate is None else percent(estimate)


def _lately(gate: Mapping[str, Any]) -> str:
    """Return the difference over the recent windows where it visibly lies beyond what the whole rollout shows."""
    recent, low, high = (gate.get("detail") or {}).get("recent"), gate.get("low"), gate.get("high")
    if recent is None or gate["kind"] == "own_history":
        return ""
    if (low is None or recent >= low) and (high is None or recent <= high):
        return ""
    show = _of_gate(gate)
    text = show(recent)
    return "" if text in {show(bound) for bound in (low, high) if bound is not None} else f", lately {text},"


def _of_gate(gate: Mapping[str, Any]) -> Callable[[float], str]:
    """Return how a relative difference of this gate is shown."""
    baseline, unit = value_of(gate, "baseline"), gate.get("unit")
    if gate["kind"] in uncontrolled.KINDS:
        return lambda value: share((baseline or 0.0) * (1.0 + value))
    if baseline is not None and (unit or gate["kind"] == "ratio"):
        shown = shown_by(gate["kind"], unit)
        return lambda value: str(shown(baseline * value))
    return percent


def _band(gate: Mapping[str, Any]) -> str:
    unit = gate.get("unit")
    if gate["kind"] in uncontrolled.KINDS:
        return uncontrolled.band(gate)
    pairs: Sequence[tuple[Any, Any]] = (
        (gate.get("absolute_low"), gate.get("absolute_high")),
        (gate.get("low"), gate.get("high")),
    )
    absolute = unit or gate["kind"] == "ratio"
    low, high = pairs[0] if absolute else pairs[1]
    show = shown_by(gate["kind"], unit)
    if low is None:
        return "" if high is None else f" (at most {show(high)})"
    if high is None:
        return f" (at least {show(low)})"
    return f" (band {_bare(show(low), _difference(gate))} to {_bare(show(high), _difference(gate))})"


def _bare(text: str, beside: str) -> str:
    """Return the number without its unit where the same unit has just been read."""
    number, _, unit = text.partition(" ")
    return number if beside.endswith(f" {unit}") else text


def _limit(gate: Mapping[str, Any]) -> str:
    if gate["kind"] in uncontrolled.KINDS:
        return uncontrolled.limit(gate)
    tolerance = gate.get("tolerance_effective")
    if tolerance is None:
        return ""
    unit, limit = gate.get("unit"), (gate.get("detail") or {}).get("limit_absolute")
    show: Callable[[float], str]
    if unit and limit is not None:
        size, show = limit, partial(amount, unit=unit, signed=True)
    elif gate["kind"] == "ratio" and limit is not None:
        size, show = limit, partial(points, signed=True)
    else:
        size, show = tolerance, percent
    return f" against a limit of {towards(gate.get('direction'), size, show)}{_snapped(gate, tolerance)}"


def _snapped(gate: Mapping[str, Any], effective: float) -> str:
    asked = gate.get("tolerance")
    if asked is None or gate["kind"] not in ("quantile", "mean") or math.isclose(asked, effective, abs_tol=5e-4):
        return ""
    return f" (asked {percent(asked)}, buckets allow {percent(effective)})"


def _outcome(gate: Mapping[str, Any]) -> str:
    word, needed = str(gate["word"]), gate.get("windows_needed")
    if gate["kind"] == "own_history":
        return uncontrolled.outcome(gate, word)
    if word == "breach":
        # Several tails are judged together, and may be beyond the limit before the quantile's own band is.
        whole = " of the tail from there on" if (gate.get("detail") or {}).get("tails", 1) > 1 else ""
        return f"breach{whole}, evidence 1 in {_odds(gate.get('evidence') or 0.0)}"
    if word == "passed":
        return "passed"
    if gate.get("final"):
        return "inconclusive, the bake is over"
    if needed is None:
        return "inconclusive, no decision in sight at these rates"
    return f"inconclusive, about {needed} more window{'' if needed == 1 else 's'}"
