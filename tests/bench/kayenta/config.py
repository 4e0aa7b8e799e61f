"""What a Kayenta canary configuration says about one metric, in our words; unknown words are errors."""

from dataclasses import dataclass
from enum import StrEnum


class Direction(StrEnum):
    """Which change of the metric matters."""

    INCREASE = "increase"
    DECREASE = "decrease"
    EITHER = "either"


class NanStrategy(StrEnum):
    """What a missing value means: nothing (remove), or zero (replace), as for error counts."""

    REMOVE = "remove"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class MetricConfig:
    """One metric.

    Attributes:
        name: of the metric.
        groups: score groups it belongs to.
        direction: which change matters.
        nan: what missing values mean.
        critical: a failure of this metric fails the whole canary.
        must_have_data: no data is a failure.
        remove_outliers: drop values beyond `outlier_factor` interquartile ranges.
        allowed_increase, allowed_decrease: ratios of means within which a shift is allowed (1: none).
        critical_increase, critical_decrease: ratios of means beyond which a shift is critical by itself.
        tolerance: share of the estimated shift that the interval must clear.
        confidence: of the Mann-Whitney interval.
    """

    name: str
    groups: tuple[str, ...] = ()
    direction: Direction = Direction.EITHER
    nan: NanStrategy = NanStrategy.REMOVE
    critical: bool = False
    must_have_data: bool = False
    remove_outliers: bool = False
    outlier_factor: float = 3.0
    allowed_increase: float = 1.0
    allowed_decrease: float = 1.0
    critical_increase: float | None = None
    critical_decrease: float | None = None
    tolerance: float = 0.25
    confidence: float = 0.98
