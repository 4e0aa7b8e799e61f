"""A whole Kayenta canary: every metric classified, then scored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.bench.kayenta.classify import Classification, classify
from tests.bench.kayenta.config import MetricConfig
from tests.bench.kayenta.score import Score, score


@dataclass(frozen=True, slots=True)
class Result:
    """Every metric's class, and the score."""

    metrics: tuple[Classification, ...]
    score: Score


def judge(
    configs: Sequence[MetricConfig],
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    weights: Mapping[str, float],
    *,
    passing: float = 95.0,
    marginal: float = 75.0,
) -> Result:
    """Return the result of a canary.

    Args:
        configs: the metrics.
        series: (experiment, control) of each metric by name; a metric without series has no data.
        weights: of the groups, in per cent.
        passing, marginal: least scores.
    """
    metrics = tuple(classify(config, *series.get(config.name, ((), ()))) for config in configs)
    grouped = [(config.groups or ("",), found) for config, found in zip(configs, metrics, strict=True)]
    return Result(metrics, score(grouped, weights, passing, marginal))
