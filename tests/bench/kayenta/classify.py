"""One metric of a Kayenta canary: cleaned, compared by the Mann-Whitney interval and the effect size, classified."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from tests.bench.kayenta.config import Direction, MetricConfig, NanStrategy
from tests.bench.kayenta.mann_whitney import Floats, difference_interval


class Label(StrEnum):
    """Kayenta's classes of a metric."""

    PASS = "Pass"
    HIGH = "High"
    LOW = "Low"
    NODATA = "Nodata"
    NODATA_FAIL = "NodataFailMetric"


@dataclass(frozen=True, slots=True)
class Classification:
    """The class, whether it fails the canary by itself, the ratio of means, and the interval of the shift."""

    name: str
    label: Label
    critical: bool
    ratio: float | None
    estimate: float | None
    low: float | None
    high: float | None


def cleaned(values: Sequence[float], config: MetricConfig) -> Floats:
    """Return the values with missing ones removed or replaced by zero, and outliers removed if asked."""
    array = np.asarray(values, dtype=np.float64)
    array = array[np.isfinite(array)] if config.nan is NanStrategy.REMOVE else np.where(np.isfinite(array), array, 0.0)
    if config.remove_outliers and array.size > 1:
        first, third = np.percentile(array, (25, 75))
        reach = config.outlier_factor * (third - first)
        array = array[(array >= first - reach) & (array <= third + reach)]
    return array


def classify(config: MetricConfig, experiment: Sequence[float], control: Sequence[float]) -> Classification:
    """Return the class of one metric.

    Args:
        config: of the metric.
        experiment, control: one value for each point in time; NaN where nothing was measured.
    """
    one, two = _padded(cleaned(experiment, config), cleaned(control, config), config)
    if one.size == 0 or two.size == 0:
        label = Label.NODATA_FAIL if config.must_have_data else Label.NODATA
        return Classification(config.name, label, config.critical and config.must_have_data, None, None, None, None)
    ratio = _ratio(one, two)
    if one.size == two.size and bool((np.sort(one) == np.sort(two)).all()):
        return Classification(config.name, Label.PASS, False, ratio, 0.0, 0.0, 0.0)
    shift = difference_interval(one, two, config.confidence)
    bound = config.tolerance * abs(shift.estimate)
    label = Label.PASS
    if config.direction is not Direction.DECREASE and shift.low > bound and _beyond(ratio, config.allowed_increase, 1):
        label = Label.HIGH
    elif (
        config.direction is not Direction.INCREASE
        and shift.high < -bound
        and _beyond(ratio, config.allowed_decrease, -1)
    ):
        label = Label.LOW
    critical = label is not Label.PASS and (config.critical or _critical(label, ratio, config))
    return Classification(config.name, label, critical, ratio, shift.estimate, shift.low, shift.high)


def _padded(one: Floats, two: Floats, config: MetricConfig) -> tuple[Floats, Floats]:
    """Return both, an empty one as zeros as long as the other, where missing values mean zero."""
    if config.nan is NanStrategy.REPLACE:
        if one.size == 0:
            one = np.zeros(two.size)
        elif two.size == 0:
            two = np.zeros(one.size)
    return one, two


def _ratio(one: Floats, two: Floats) -> float | None:
    base = float(two.mean())
    return float(one.mean()) / base if base != 0 else None


def _beyond(ratio: float | None, allowed: float, sign: int) -> bool:
    return ratio is None or (ratio - allowed) * sign > 0


def _critical(label: Label, ratio: float | None, config: MetricConfig) -> bool:
    if ratio is None:
        return False
    if label is Label.HIGH:
        return config.critical_increase is not None and ratio >= config.critical_increase
    return config.critical_decrease is not None and ratio <= config.critical_decrease
