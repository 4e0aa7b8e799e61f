"""Protocol messages to the judge's values; what cannot be read becomes a missing measure, never a zero."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from penstock.errors import InvalidError, Problem
from services.gate_evaluation.judge import (
    Cohort,
    Direction,
    ExponentialHistogram,
    GateKind,
    GateSpec,
    Gauge,
    JudgeSpec,
    Margin,
    Measure,
    MeasureError,
    Ratio,
    Window,
)

LATENCY = "latency_ms"
_KINDS = {"ratio": GateKind.RATIO, "quantile": GateKind.QUANTILE, "gauge": GateKind.GAUGE}
_COHORTS = ("canary", "baseline", "a", "b")


def _refused(where: str, what: str) -> InvalidError:
    return InvalidError("message", [Problem(where, what)])


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _refused(where, f"{type(value).__name__} is not an object")
    return value


def _number(value: Any) -> float:
    """Return a number as it stands; words and truth values are none, whatever they could be read as.

    Raises:
        TypeError: it is no number. OverflowError: it is beyond a double.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{type(value).__name__} is not a number")
    return float(value)


def _whole(value: Any) -> int:
    number = _number(value)
    if not math.isfinite(number) or number != int(number):
        raise ValueError(f"{number} is not a whole number")
    return int(number)


def number(doc: Mapping[str, Any], key: str, default: float | None = None) -> float:
    """Return a number of a message.

    Raises:
        InvalidError: it is missing without a default, or no finite number.
    """
    try:
        found = _number(doc[key] if default is None else doc.get(key, default))
    except (KeyError, TypeError, OverflowError) as problem:
        raise _refused(key, f"not a number: {problem}") from None
    if not math.isfinite(found):
        raise _refused(key, f"{found} is not finite")
    return found


def whole(doc: Mapping[str, Any], key: str, default: int | None = None, *, least: int) -> int:
    """Return a whole number of a message, of at least `least`.

    Raises:
        InvalidError: it is none.
    """
    found = number(doc, key, default)
    if found != int(found) or found < least:
        raise _refused(key, f"{found:g} is not a whole number of at least {least}")
    return int(found)


def _margin(doc: Any, where: str) -> Margin | None:
    if doc is None:
        return None
    parts = _mapping(doc, where)
    return Margin(number(parts, "relative", 0.0), number(parts, "absolute", 0.0))


def gate_of(doc: Any) -> GateSpec:
    """Return the gate of one entry of `metrics`.

    Raises:
        InvalidError: an unknown kind or direction, or margins that are none.
    """
    entry = _mapping(doc, "metrics")
    name, said, bad = entry.get("name"), entry.get("kind"), entry.get("bad", "up")
    if not isinstance(name, str) or not name:
        raise _refused("metrics", "a metric has a name")
    kind = _KINDS.get(said) if isinstance(said, str) else None
    if kind is None:
        raise _refused(name, f"unknown kind {said!r}")
    if bad not in list(Direction):
        raise _refused(name, f"unknown direction {bad!r}")
    q = number(entry, "q") if kind is GateKind.QUANTILE else None
    metric = LATENCY if kind is GateKind.QUANTILE else name
    return GateSpec(
        name=name, metric=metric, kind=kind, q=q, bad=Direction(bad),
        tolerance=_margin(entry.get("tolerance"), name), pass_margin=_margin(entry.get("pass_margin"), name),
    )  # fmt: skip


def spec_of(start: Mapping[str, Any]) -> JudgeSpec:
    """Return the judge that a `start` message asks for; its whole bake is `max_windows`, warm-up included.

    Raises:
        InvalidError: gates or budgets that cannot be judged, or another protocol.
    """
    if whole(start, "protocol", 1, least=1) != 1:
        raise _refused("protocol", "only protocol 1 is spoken here")
    metrics = start.get("metrics")
    if not isinstance(metrics, list):
        raise _refused("metrics", "a list of metrics is needed")
    warmup = whole(start, "warmup_windows", 0, least=0)
    bake = max(whole(start, "max_windows", least=1) - warmup, 1)
    seconds = number(start, "window_s", 60.0)
    if not seconds > 0:
        raise _refused("window_s", "a window takes time")
    return JudgeSpec(
        gates=tuple(map(gate_of, metrics)),
        alpha=number(start, "alpha", 0.01),
        alpha_pass=number(start, "alpha_pass", 0.05),
        min_bake=bake,
        max_bake=bake,
        warmup_windows=warmup,
        window_seconds=seconds,
        splits=(number(start, "split"),),
    )


def _measure(gate: GateSpec, doc: Mapping[str, Any]) -> Measure | None:
    try:
        match gate.kind:
            case GateKind.RATIO:
                return Ratio(_number(doc["errors"]), _number(doc["requests"]))
            case GateKind.QUANTILE:
                return _histogram(doc[LATENCY])
            case _:
                gauge = doc[gate.metric]
                return Gauge(_number(gauge["count"]), _number(gauge["sum"]), _number(gauge.get("sumsq", 0.0)))
    except (LookupError, TypeError, ValueError, OverflowError, AttributeError, MeasureError):
        return None


def _histogram(doc: Mapping[str, Any]) -> ExponentialHistogram:
    counts = doc["counts"]
    if not isinstance(counts, list):
        raise TypeError("counts are no list")
    return ExponentialHistogram(
        count=_number(doc["count"]),
        sum=_number(doc.get("sum", 0.0)),
        scale=_whole(doc["scale"]),
        zero_count=_number(doc.get("zero_count", 0)),
        offset=_whole(doc["offset"]),
        counts=[_number(count) for count in counts],
    )


def cohort_of(doc: Any, gates: Sequence[GateSpec]) -> Cohort | None:
    """Return a cohort; None where the message has none."""
    if not isinstance(doc, Mapping):
        return None
    measures: dict[str, Measure] = {}
    for gate in gates:
        if gate.metric not in measures and (measure := _measure(gate, doc)) is not None:
            measures[gate.metric] = measure
    try:
        requests = _number(doc.get("requests"))
    except (TypeError, OverflowError):
        requests = math.nan
    return Cohort(measures, requests=requests if math.isfinite(requests) and requests >= 0 else None)


def window_of(message: Mapping[str, Any], gates: Sequence[GateSpec]) -> Window:
    """Return the window of a message, or of an entry of `history`; a cohort that is no object is missing.

    Raises:
        InvalidError: it has no cohorts.
    """
    cohorts = _mapping(message.get("cohorts"), "cohorts")
    canary, baseline, a, b = (cohort_of(cohorts.get(name), gates) for name in _COHORTS)
    return Window(canary=canary, baseline=baseline, a=a, b=b)


def history_of(start: Mapping[str, Any], gates: Sequence[GateSpec]) -> Iterator[Window]:
    """Yield the windows of a `start` message's history; entries that are none teach nothing.

    Raises:
        InvalidError: the history is no list.
    """
    entries = start.get("history")
    if entries is None:
        return
    if not isinstance(entries, list):
        raise _refused("history", "a list of windows is needed")
    for entry in entries:
        if isinstance(entry, Mapping) and isinstance(entry.get("cohorts"), Mapping):
            yield window_of(entry, gates)
