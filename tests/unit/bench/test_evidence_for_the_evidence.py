"""The rows of the table prove what they claim: promises, seeds, and worlds that are drawn as described."""

import math

import numpy as np
import pytest

from penstock.errors import InvalidError
from tests.bench.judge import promise
from tests.bench.judge.draw import whole
from tests.bench.judge.hard_rows import HARD
from tests.bench.judge.harness import CHECKED, EVERY, simulate
from tests.bench.judge.held_out import HELD_OUT
from tests.bench.judge.noise import Family, clustered, path
from tests.bench.judge.ours import gates_of
from tests.bench.judge.promise import Shown, shown
from tests.bench.judge.seeds import CONFIRMING, TUNING, confirming

BY_NAME = {scenario.name: scenario for scenario in EVERY}


def test_a_promise_is_shown_by_enough_runs_and_by_no_fewer() -> None:
    assert shown(0, 200, 0.01) is Shown.OPEN
    assert shown(0, 700, 0.01) is Shown.KEPT
    assert shown(0, 700, 0.01, rows=40) is Shown.OPEN
    assert shown(0, 1200, 0.01, rows=40) is Shown.KEPT
    assert shown(30, 1000, 0.01) is Shown.BROKEN
    assert shown(9, 1000, 0.01) is Shown.OPEN


@pytest.mark.parametrize("share", [0.0101, 0.011, 0.02])
def test_a_broken_promise_is_hardly_ever_called_kept_however_often_one_looks(share: float) -> None:
    rng = np.random.default_rng(3)
    wrong = 0
    for _ in range(400):
        failures = np.cumsum(rng.random(4000) < share)
        wrong += any(shown(int(failures[n - 1]), n, 0.01) is Shown.KEPT for n in range(100, 4001, 100))
    assert wrong / 400 <= promise.LEVEL


def test_the_bound_of_a_promise_is_consistent_with_its_word() -> None:
    for k, n in ((0, 300), (0, 700), (3, 1000), (2, 2000), (20, 1000)):
        assert (promise.upper(k, n) < 0.01) is (shown(k, n, 0.01) is Shown.KEPT)


def test_seeds_for_tuning_confirm_nothing() -> None:
    assert not TUNING & set(CONFIRMING)
    assert [confirming(seed) for seed in CONFIRMING] == list(CONFIRMING)
    for seed in (*TUNING, 4242):
        with pytest.raises(InvalidError):
            confirming(seed)


def test_names_are_unique_and_held_out_worlds_are_not_checked() -> None:
    assert len(BY_NAME) == len(EVERY)
    assert not {each.name for each in HELD_OUT} & {each.name for each in CHECKED}
    tuned = {scenario.world for scenario in CHECKED}
    assert not any(scenario.world in tuned for scenario in HELD_OUT)


def test_the_rows_that_the_issue_names_are_there() -> None:
    gross = {each.world.history: each.most for each in HARD if each.most is not None}
    assert gross == {0: 5, 30: 5, 120: 5, 720: 5}
    assert {each.world.errors for each in HARD} >= {1e-5, 1e-4, 0.05, 0.2, 0.22, 0.24, 0.3, 0.4, 0.5}
    assert {each.world.split for each in HARD} >= {0.001, 0.25, 0.5, 0.9}


def test_rows_that_promise_take_more_runs_until_they_show_it() -> None:
    rows = next(simulate(["independent"], 40, 2, with_peers=False, at_most=90))
    assert rows[0].runs == 80
    assert rows[0].shown is Shown.OPEN
    assert next(simulate(["errors +1 pp"], 5, 2, with_peers=False, at_most=90))[0].runs == 5


def test_the_error_gate_of_a_row_has_its_own_margins() -> None:
    gate = gates_of(BY_NAME["base 22% at tolerance"])[0]
    assert (gate.fail_at.relative, gate.pass_at.relative) == (0.5, 2.5)
    assert gates_of(BY_NAME["independent"])[0].fail_at.relative == 0.1


@pytest.mark.parametrize(
    ("family", "parameter"),
    [(Family.AR, 0.8), (Family.STUDENT, 5.0), (Family.REGIME, 0.1), (Family.FRACTIONAL, 0.8)],
)
def test_a_path_has_the_standard_deviation_it_was_asked_for(family: Family, parameter: float) -> None:
    rng = np.random.default_rng(1)
    paths = np.array([path(rng, 200, family, 0.1, parameter) for _ in range(300)])
    assert float(np.sqrt((paths**2).mean())) == pytest.approx(0.1, rel=0.06)
    assert abs(float(paths.mean())) < 0.02


def test_fractional_noise_has_the_variance_of_means_of_its_hurst_parameter() -> None:
    rng = np.random.default_rng(2)
    paths = np.array([path(rng, 256, Family.FRACTIONAL, 1.0, 0.8) for _ in range(1500)])
    spreads = [float(paths[:, :n].mean(axis=1).var()) for n in (4, 64)]
    # Var of a mean of n falls as n^(2H - 2): by 2^(-0.4) a doubling, where independent windows halve it.
    assert math.log(spreads[1] / spreads[0]) / math.log(16) == pytest.approx(-0.4, abs=0.06)


def test_clusters_keep_the_mean_and_widen_the_spread() -> None:
    rng = np.random.default_rng(4)
    found = clustered(rng, np.full(40_000, 12.0), 4.0)
    assert float(found.mean()) == pytest.approx(12.0, rel=0.02)
    assert float(found.var() / found.mean()) == pytest.approx(7.0, rel=0.05)


def test_shared_traffic_is_the_same_for_both_cohorts() -> None:
    _, run = whole(BY_NAME["self-similar traffic"], 2, 0)
    both = np.corrcoef(np.log(run.canary.requests), np.log(run.baseline.requests))[0, 1]
    assert both > 0.95
