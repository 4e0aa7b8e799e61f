"""The compatibility classifier agrees with scipy's exact tests and with the verdicts that Kayenta's rules imply."""

import math

import numpy as np
import pytest
from scipy import stats

from penstock.errors import InvalidError
from tests.bench.kayenta import (
    Direction,
    Label,
    MetricConfig,
    NanStrategy,
    Verdict,
    classify,
    difference_interval,
    judge,
)
from tests.bench.kayenta.mann_whitney import quantile

RNG = np.random.default_rng(20)
CALM, SAME, DOUBLE = RNG.normal(10, 2, 30), RNG.normal(10, 2, 30), RNG.normal(20, 2, 30)
METRIC = MetricConfig("m", groups=("g",))


@pytest.mark.parametrize("seed", range(6))
def test_the_exact_interval_excludes_zero_just_when_the_exact_test_rejects(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, two = rng.normal(seed * 0.4, 1, 9), rng.normal(0, 1, 11)
    found = difference_interval(one, two, 0.98)
    rejects = stats.mannwhitneyu(one, two, method="exact").pvalue <= 0.02
    assert (found.low > 0 or found.high < 0) == rejects
    assert found.low <= found.estimate <= found.high
    assert found.estimate == pytest.approx(np.median(np.subtract.outer(one, two)))


@pytest.mark.parametrize("seed", range(6))
def test_the_approximate_interval_excludes_zero_just_when_the_approximate_test_rejects(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, two = rng.normal(seed * 0.15, 1, 60), rng.normal(0, 1, 70)
    found = difference_interval(one, two, 0.98)
    p = stats.mannwhitneyu(one, two, method="asymptotic", use_continuity=True).pvalue
    assert (found.low > 1e-9 or found.high < -1e-9) == (p < 0.02)


def test_the_null_distribution_is_that_of_the_rank_sum() -> None:
    for n, m in ((3, 4), (5, 5), (2, 9)):
        exact = [stats.mannwhitneyu(range(n), np.arange(m) + 0.5 + n, method="exact", alternative="less").pvalue]
        assert quantile(exact[0], n, m) == 0
        assert quantile(0.5, n, m) == pytest.approx(n * m / 2, abs=1)
        assert quantile(1.0, n, m) == n * m


def test_a_shift_is_high_or_low_and_the_same_data_pass() -> None:
    assert classify(METRIC, SAME, CALM).label is Label.PASS
    assert classify(METRIC, DOUBLE, CALM).label is Label.HIGH
    assert classify(METRIC, CALM, DOUBLE).label is Label.LOW
    assert classify(METRIC, CALM, CALM).label is Label.PASS


def test_only_the_direction_asked_for_counts() -> None:
    assert classify(MetricConfig("m", direction=Direction.INCREASE), CALM, DOUBLE).label is Label.PASS
    assert classify(MetricConfig("m", direction=Direction.DECREASE), DOUBLE, CALM).label is Label.PASS
    assert classify(MetricConfig("m", direction=Direction.INCREASE), DOUBLE, CALM).label is Label.HIGH


def test_an_allowed_increase_lets_a_significant_shift_pass() -> None:
    assert classify(MetricConfig("m", allowed_increase=2.5), DOUBLE, CALM).label is Label.PASS
    assert classify(MetricConfig("m", allowed_increase=1.5), DOUBLE, CALM).label is Label.HIGH


def test_a_critical_increase_fails_the_canary_by_itself() -> None:
    found = judge([MetricConfig("m", groups=("g",), critical_increase=1.5)], {"m": (DOUBLE, CALM)}, {"g": 100})
    assert found.metrics[0].critical
    assert (found.score.value, found.score.verdict) == (0.0, Verdict.FAIL)


def test_missing_values_are_removed_or_are_zero() -> None:
    gaps = [math.nan] * 10
    assert classify(METRIC, gaps, CALM).label is Label.NODATA
    assert classify(MetricConfig("m", must_have_data=True), gaps, CALM).label is Label.NODATA_FAIL
    replaced = classify(MetricConfig("m", nan=NanStrategy.REPLACE), gaps, CALM)
    assert replaced.label is Label.LOW
    both = classify(MetricConfig("m", nan=NanStrategy.REPLACE), gaps, gaps)
    assert both.label is Label.PASS


def test_outliers_are_removed_only_when_asked() -> None:
    wild = np.concatenate((SAME, [1e6]))
    assert classify(MetricConfig("m", remove_outliers=True), wild, CALM).ratio == pytest.approx(1.0, abs=0.2)
    assert (classify(METRIC, wild, CALM).ratio or 0) > 100


def test_groups_are_weighted_and_the_rest_is_shared() -> None:
    configs = [MetricConfig("a", ("x",)), MetricConfig("b", ("y",)), MetricConfig("c", ("z",))]
    series = {"a": (DOUBLE, CALM), "b": (SAME, CALM), "c": (SAME, CALM)}
    found = judge(configs, series, {"x": 40})
    assert {group.name: group.weight for group in found.score.groups} == {"x": 40, "y": 30, "z": 30}
    assert found.score.value == pytest.approx(60)
    assert found.score.verdict is Verdict.FAIL
    assert judge(configs, series, {"x": 10}).score.verdict is Verdict.MARGINAL


def test_no_data_anywhere_is_no_score() -> None:
    found = judge([METRIC], {}, {"g": 100})
    assert (found.score.value, found.score.verdict) == (None, Verdict.NODATA)


def test_weights_beyond_a_hundred_are_refused() -> None:
    with pytest.raises(InvalidError):
        judge([METRIC], {"m": (SAME, CALM)}, {"g": 60, "h": 60})
