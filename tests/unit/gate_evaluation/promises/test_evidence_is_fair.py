"""The e-values are e-values: exact expectations against scipy, simulated means, and an independent sequential test."""

import math

import numpy as np
import pytest
import ville
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from services.gate_evaluation.judge.evidence import mixtures
from services.gate_evaluation.judge.evidence.e_processes import EProcesses, Form, Row


def one_row(effects: tuple[float, ...], *, log_t0: float = 0.0, onset: bool = False, cap: float = 460.0) -> EProcesses:
    weights = (1.0 / len(effects),) * len(effects)
    return EProcesses([Row(0, Form.BINOMIAL, effects, weights, onset=onset, cap=cap, log_t0=log_t0)], 1)


def feed(
    processes: EProcesses, x_canary: float, x: float, n_canary: float, n_baseline: float, onset: float = 0.0
) -> float:
    processes.n_canary[0], processes.n_baseline[0] = n_canary, n_baseline
    processes.a[:], processes.x[:] = x_canary, x
    processes.step(onset)
    return float(processes.evidence()[0])


@given(
    x=st.integers(0, 60),
    n=st.integers(1, 10_000),
    share=st.floats(0.005, 0.95),
    log_t0=st.floats(-1.5, 1.5),
    effect=st.floats(-3.0, 3.0).filter(lambda m: abs(m) > 1e-3),
)
@settings(max_examples=60, deadline=None)
def test_one_window_has_expectation_one_under_its_null_exactly(
    x: int, n: int, share: float, log_t0: float, effect: float
) -> None:
    n_canary, n_baseline = n * share, n * (1 - share)
    weighted = n_canary * math.exp(log_t0)
    p = weighted / (weighted + n_baseline)
    values = [feed(one_row((effect,), log_t0=log_t0), k, x, n_canary, n_baseline) for k in range(x + 1)]
    mean = float(np.dot(stats.binom.pmf(np.arange(x + 1), x, p), values))
    assert mean == pytest.approx(1.0, rel=1e-6)


@given(x=st.integers(0, 60), share=st.floats(0.01, 0.9), cap=st.floats(0.1, 5.0), ratio=st.floats(0.3, 1.0))
@settings(max_examples=60, deadline=None)
def test_a_cap_or_a_better_canary_only_lowers_the_expectation(x: int, share: float, cap: float, ratio: float) -> None:
    p = share * ratio / (share * ratio + 1 - share)
    values = [feed(one_row((0.3, 1.2), cap=cap), k, x, share, 1 - share) for k in range(x + 1)]
    assert float(np.dot(stats.binom.pmf(np.arange(x + 1), x, p), values)) <= 1.0 + 1e-9


@given(x=st.integers(1, 80), share=st.floats(0.01, 0.9), alpha=st.floats(0.001, 0.2))
@settings(max_examples=60, deadline=None)
def test_a_rejection_at_a_fixed_look_is_no_more_likely_than_alpha(x: int, share: float, alpha: float) -> None:
    values = np.array([feed(one_row((0.3, 1.2)), k, x, share, 1 - share) for k in range(x + 1)])
    chance = float(stats.binom.pmf(np.arange(x + 1), x, share)[values >= 1 / alpha].sum())
    assert chance <= alpha + 1e-12


def test_the_mean_of_f_stays_at_most_one_over_many_windows() -> None:
    rng = np.random.default_rng(5)
    runs, windows, n_c, n_b = 3000, 12, 600.0, 11400.0
    last = np.empty(runs)
    for run in range(runs):
        processes = one_row((0.1, 0.25, 0.5), onset=True)
        x = rng.poisson(60, size=windows)
        canary = rng.binomial(x, n_c / (n_c + n_b))
        for t in range(windows):
            value = feed(processes, canary[t], x[t], n_c, n_b, mixtures.onset_weight(t, 120))
        last[run] = value
    assert last.mean() <= 1.0 + 3.0 * last.std() / math.sqrt(runs)
    assert last.mean() >= 0.7  # fair, not merely cautious


def test_a_gaussian_row_has_expectation_one() -> None:
    processes = EProcesses([Row(0, Form.GAUSS, (0.5,), (1.0,), standard=True), Row(0, Form.GAUSS, (-0.04,), (1.0,))], 1)
    grid, weights = np.polynomial.hermite_e.hermegauss(60)
    means = np.zeros(2)
    for z, weight in zip(grid, weights / weights.sum(), strict=True):
        processes.m[:] = 1.0
        processes.sd[:], processes.z[:] = 0.02, z
        processes.step(0.0)
        means += weight * processes.evidence()
    assert means == pytest.approx(1.0, rel=1e-6)


def test_a_one_sample_row_has_expectation_at_most_one_below_its_rate() -> None:
    row = Row(0, Form.BERNOULLI, mixtures.RARE_Q1, (1 / 6,) * 6)
    for rate, most in ((0.01, 1.0), (0.006, 1.0)):
        values = []
        for hits in range(201):
            processes = EProcesses([row], 1)
            processes.n[:], processes.hits[:], processes.q0[:] = 200.0, hits, 0.01
            processes.step(0.0)
            values.append(float(processes.evidence()[0]))
        mean = float(np.dot(stats.binom.pmf(np.arange(201), 200, rate), values))
        assert mean <= most + 1e-9


def test_the_onset_weights_sum_to_one_without_end() -> None:
    seen = sum(mixtures.onset_weight(i, 120) for i in range(200_000))
    assert 0.98 < seen < 1.0


def test_the_weights_of_effects_sum_to_one_and_favour_what_the_bake_can_just_tell() -> None:
    for count in (1, 5, mixtures.POINTS):
        assert sum(mixtures.effect_weights(count)) == pytest.approx(1.0)
    weights = mixtures.effect_weights(mixtures.POINTS)
    top = weights.index(max(weights))
    assert 0 < top < mixtures.POINTS / 2
    assert weights[0] < weights[top] > weights[-1] > 0.001


@pytest.mark.parametrize(("ratio", "rejects"), [(1.0, False), (3.0, True)])
def test_an_independent_sequential_test_agrees_on_clear_cases(ratio: float, rejects: bool) -> None:
    rng = np.random.default_rng(11)
    share, windows = 0.2, 40
    p = share * ratio / (share * ratio + 1 - share)
    canary = rng.binomial(20, p, size=windows)
    processes = one_row((0.1, 0.3, 0.6, 1.1), onset=True)
    oracle = ville.BernoulliTest(share, alpha=0.01)
    ours = theirs = None
    for t, hits in enumerate(canary):
        value = feed(processes, hits, 20, share, 1 - share, mixtures.onset_weight(t, 120))
        oracle.update(rng.permutation([1.0] * hits + [0.0] * (20 - hits)))
        if ours is None and value >= 100:
            ours = t
        if theirs is None and oracle.rejected_:
            theirs = t
    assert (ours is not None) is rejects
    assert (theirs is not None) is rejects
    if ours is not None and theirs is not None:
        assert ours <= theirs + 3
