"""Protocol messages to the judge's values; what cannot be read becomes a missing measure, never a zero."""

from collections.abc import Mapping, Sequence
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


def _margin(doc: Mapping[str, Any] | None) -> Margin | None:
    if doc is None:
        return None
    return Margin(float(doc.get("relative", 0.0)), float(doc.get("absolute", 0.0)))


def gate_of(doc: Mapping[str, Any]) -> GateSpec:
    """Return the gate of one entry of `metrics`.

    Raises:
        InvalidError: an unknown kind.
    """
    kind = _KINDS.get(doc["kind"])
    if kind is None:
        raise InvalidError("metric", [Problem(str(doc.get("name")), f"unknown kind {doc['kind']!r}")])
    q = float(doc["q"]) if kind is GateKind.QUANTILE else None
    metric = LATENCY if kind is GateKind.QUANTILE else doc["name"]
    return GateSpec(
        name=doc["name"], metric=metric, kind=kind, q=q, bad=Direction(doc.get("bad", "up")),
        tolerance=_margin(doc.get("tolerance")), pass_margin=_margin(doc.get("pass_margin")),
    )  # fmt: skip


def spec_of(start: Mapping[str, Any]) -> JudgeSpec:
    """Return the judge that a `start` message asks for; its whole bake is `max_windows`, warm-up included.

    Raises:
        InvalidError: gates or budgets that cannot be judged.
    """
    warmup = int(start.get("warmup_windows", 0))
    bake = max(int(start["max_windows"]) - warmup, 1)
    return JudgeSpec(
        gates=tuple(gate_of(metric) for metric in start["metrics"]),
        alpha=float(start.get("alpha", 0.01)),
        alpha_pass=float(start.get("alpha_pass", 0.05)),
        min_bake=bake,
        max_bake=bake,
        warmup_windows=warmup,
        window_seconds=float(start.get("window_s", 60.0)),
        splits=(float(start["split"]),),
    )


def _measure(gate: GateSpec, doc: Mapping[str, Any]) -> Measure | None:
    try:
        match gate.kind:
            case GateKind.RATIO:
                return Ratio(float(doc["errors"]), float(doc["requests"]))
            case GateKind.QUANTILE:
                return _histogram(doc[LATENCY])
            case _:
                gauge = doc[gate.metric]
                return Gauge(float(gauge["count"]), float(gauge["sum"]), float(gauge.get("sumsq", 0.0)))
    except (KeyError, TypeError, ValueError, OverflowError, MeasureError):
        return None


def _histogram(doc: Mapping[str, Any]) -> ExponentialHistogram:
    return ExponentialHistogram(
        count=float(doc["count"]),
        sum=float(doc.get("sum", 0.0)),
        scale=int(doc["scale"]),
        zero_count=float(doc.get("zero_count", 0)),
        offset=int(doc["offset"]),
        counts=[float(count) for count in doc["counts"]],
    )


def cohort_of(doc: Mapping[str, Any] | None, gates: Sequence[GateSpec]) -> Cohort | None:
    """Return a cohort; None where the message has none."""
    if not isinstance(doc, Mapping):
        return None
    measures: dict[str, Measure] = {}
    for gate in gates:
        if gate.metric not in measures and (measure := _measure(gate, doc)) is not None:
            measures[gate.metric] = measure
    requests = doc.get("requests")
    known = isinstance(requests, (int, float)) and requests >= 0
    return Cohort(measures, requests=float(requests) if known and requests is not None else None)


def window_of(message: Mapping[str, Any], gates: Sequence[GateSpec]) -> Window:
    """Return the window of a message, or of an entry of `history`."""
    cohorts = message.get("cohorts") or {}
    canary, baseline, a, b = (cohort_of(cohorts.get(name), gates) for name in ("canary", "baseline", "a", "b"))
    return Window(canary=canary, baseline=baseline, a=a, b=b)
