"""Reads a Kayenta canary configuration and its metric data from JSON; all problems are listed at once."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from penstock.errors import InvalidError, Problem
from tests.bench.kayenta.config import Direction, MetricConfig, NanStrategy

Series = Mapping[str, tuple[Sequence[float], Sequence[float]]]


@dataclass(frozen=True, slots=True)
class CanaryConfig:
    """Metrics, weights of their groups in per cent, and the least scores of the two better verdicts."""

    name: str
    metrics: tuple[MetricConfig, ...]
    weights: Mapping[str, float]
    passing: float
    marginal: float


def config_of(text: str | bytes) -> CanaryConfig:
    """Return a canary configuration.

    Raises:
        InvalidError: it is not JSON, or not such a configuration.
    """
    document = _object(text, "config")
    problems: list[Problem] = []
    metrics = tuple(_metrics(document.get("metrics"), problems))
    classifier = document.get("classifier") or {}
    weights = classifier.get("groupWeights") or {}
    thresholds = classifier.get("scoreThresholds") or {}
    numbers = [(f"classifier.groupWeights.{name}", value) for name, value in weights.items()] + [
        (f"classifier.scoreThresholds.{name}", value) for name, value in thresholds.items()
    ]
    problems += [Problem(where, "a number is needed") for where, value in numbers if not _is_number(value)]
    if problems:
        raise InvalidError("kayenta config", problems)
    return CanaryConfig(
        str(document.get("name", "")), metrics, {str(name): float(value) for name, value in weights.items()},
        float(thresholds.get("pass", 95.0)), float(thresholds.get("marginal", 75.0)),
    )  # fmt: skip


def series_of(text: str | bytes) -> Series:
    """Return (experiment, control) of each metric; null and "NaN" are missing values.

    The document maps metric names to `experiment` and `control`, or is a list of metric set pairs, each with `name` and
    `values`.

    Raises:
        InvalidError: it is not JSON, or not such data.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise InvalidError("metric data", [Problem("", f"is not JSON: {problem}")]) from None
    if isinstance(document, list):
        pairs = [(pair.get("name"), pair.get("values")) for pair in document if isinstance(pair, dict)]
    elif isinstance(document, dict):
        pairs = list(document.items())
    else:
        raise InvalidError("metric data", [Problem("", "an object or a list of metric set pairs is needed")])
    problems: list[Problem] = []
    found = {}
    for name, values in pairs:
        sides = [_values(values, side) for side in ("experiment", "control")]
        if not isinstance(name, str) or sides[0] is None or sides[1] is None:
            problems.append(Problem(str(name), "needs `experiment` and `control`, each a list of numbers"))
        else:
            found[name] = (sides[0], sides[1])
    if problems:
        raise InvalidError("metric data", problems)
    return found


def _object(text: str | bytes, what: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise InvalidError(f"kayenta {what}", [Problem("", f"is not JSON: {problem}")]) from None
    if not isinstance(document, dict):
        raise InvalidError(f"kayenta {what}", [Problem("", "an object is needed")])
    return document


def _metrics(found: Any, problems: list[Problem]) -> Iterator[MetricConfig]:
    if not isinstance(found, list) or not found:
        problems.append(Problem("metrics", "a list of metrics is needed"))
        return
    for at, each in enumerate(found):
        where = f"metrics.{at}"
        if not isinstance(each, dict) or not isinstance(each.get("name"), str):
            problems.append(Problem(where, "a metric needs a name"))
            continue
        canary = (each.get("analysisConfigurations") or {}).get("canary") or {}
        try:
            yield _metric(each, canary)
        except (ValueError, TypeError, AttributeError) as problem:
            problems.append(Problem(f"{where}.analysisConfigurations.canary", str(problem)))


def _metric(each: Mapping[str, Any], canary: Mapping[str, Any]) -> MetricConfig:
    effect, outliers = canary.get("effectSize") or {}, canary.get("outliers") or {}
    return MetricConfig(
        name=each["name"],
        groups=tuple(map(str, each.get("groups") or ())),
        direction=Direction(str(canary.get("direction", "either")).lower()),
        nan=NanStrategy(str(canary.get("nanStrategy", "remove")).lower()),
        critical=bool(canary.get("critical", False)),
        must_have_data=bool(canary.get("mustHaveData", False)),
        remove_outliers=str(outliers.get("strategy", "keep")).lower() == "remove",
        outlier_factor=float(outliers.get("outlierFactor", 3.0)),
        allowed_increase=float(effect.get("allowedIncrease", 1.0)),
        allowed_decrease=float(effect.get("allowedDecrease", 1.0)),
        critical_increase=_optional(effect.get("criticalIncrease")),
        critical_decrease=_optional(effect.get("criticalDecrease")),
    )


def _optional(value: Any) -> float | None:
    return None if value is None else float(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _values(values: Any, side: str) -> list[float] | None:
    listed = values.get(side) if isinstance(values, dict) else None
    if not isinstance(listed, list):
        return None
    found = [math.nan if value is None or value == "NaN" else value for value in listed]
    return [float(value) for value in found] if all(isinstance(v, int | float) for v in found) else None
