"""What a row would overshoot its limit by is spent on reaching it, and never more: exact expectations against scipy."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from services.gate_evaluation.judge.evidence import boosting, mixtures
from services.gate_evaluation.judge.evidence.e_processes import EProcesses, Form, Row

EFFECTS = (0.2, 0.35, 0.6)
WEIGHTS = (0.3, 0.4, 0.3)


def bank_at(start: float, limit: float, exponents: tuple[float, ...] = (1.0,), sign: int = 1) -> EProcesses:
    effects = tuple(sign * effect for effect in EFFECTS)
    row = Row(0, Form.BINOMIAL, effects, WEIGHTS, exponents, onset=True, cap=4.0, limit=limit)
    processes = EProcesses([row], 1)
    processes.m[:], processes.unspent[:] = start, 0.2
    processes.evidence()
    return processes


def after(processes: EProcesses, canary: list[float], events: list[float], share: float) -> float:
    processes.n_canary[0], processes.n_baseline[0] = share, 1.0 - share
    processes.a[:], processes.x[:] = canary, events
    processes.step(0.0)
    return float(processes.evidence()[0])


@given(x=st.integers(1, 90), share=st.floats(0.01, 0.9), near=st.floats(0.02, 0.98), sign=st.sampled_from((1, -1)))
@settings(max_examples=80, deadline=None)
def test_up_to_the_limit_the_expectation_is_what_it_was(x: int, share: float, near: float, sign: int) -> None:
    limit = 200.0
    values = [after(bank_at(near * limit, limit, sign=sign), [k], [x], share) for k in range(x + 1)]
    mass = stats.binom.pmf(np.arange(x + 1), x, share)
    mean = float(np.minimum(values, limit) @ mass)
    assert mean <= (near * limit + 0.2) * (1.0 + 1e-6)


@pytest.mark.parametrize("near", [0.1, 0.4, 0.8])
def test_the_budget_is_spent_wholly_where_it_was_lost(near: float) -> None:
    limit, x, share = 200.0, 60, 0.05
    mass = stats.binom.pmf(np.arange(x + 1), x, share)
    raised, plain = (
        [after(bank_at(near * limit, most), [k], [x], share) for k in range(x + 1)] for most in (limit, math.inf)
    )
    before = near * limit + 0.2
    assert float(np.minimum(raised, limit) @ mass) == pytest.approx(before, rel=2e-3)
    assert float(np.minimum(plain, limit) @ mass) < 0.995 * before
    chances = [float(mass[np.array(values) >= limit].sum()) for values in (raised, plain)]
    assert chances[1] <= chances[0] <= before / limit


def test_zones_of_a_tail_are_reckoned_together() -> None:
    limit, share, events = 300.0, 0.1, (12, 6, 3, 3)
    exponents = mixtures.TAIL_FAMILIES[0][1]
    total = 0.0
    for outcome in np.ndindex(13, 7, 4, 4):
        chance = math.prod(float(stats.binom.pmf(k, n, share)) for k, n in zip(outcome, events, strict=True))
        if chance > 1e-9:
            value = after(bank_at(0.5 * limit, limit, exponents), list(outcome), list(events), share)
            total += chance * min(value, limit)
    assert total == pytest.approx(0.5 * limit + 0.2, rel=3e-3)
    assert total <= 0.5 * limit + 0.2 + 1e-6


def test_counts_a_little_dispersed_are_raised_as_fewer_would_be_and_noisy_ones_not_at_all() -> None:
    def factor(events: float, canary: float, noise: float) -> float:
        found = []
        for limit in (200.0, math.inf):
            processes = bank_at(100.0, limit)
            processes.tau2[0, 0] = noise
            found.append(after(processes, [canary], [events], 0.05) - 0.2)
        return found[0] / found[1]

    chance = 1.0 / 0.0475  # one more unit of variance for one expected event
    assert factor(75.0, 10.0, 0.25 * chance) == pytest.approx(factor(60.0, 8.0, 0.0), rel=1e-9)
    assert factor(60.0, 8.0, 0.0) > 1.01
    assert factor(120.0, 16.0, chance) == 1.0


def test_far_from_the_limit_and_beyond_it_nothing_is_raised() -> None:
    for start in (0.01, 250.0):
        values = [after(bank_at(start, most), [5], [60], 0.05) for most in (200.0, math.inf)]
        assert values[0] == values[1]


@pytest.mark.parametrize("exponents", [(1.0,), (0.65, 0.85, 1.1, 1.35)])
def test_scores_have_the_mean_and_variance_of_their_counts_few_or_many(exponents: tuple[float, ...]) -> None:
    c = np.array(exponents)
    for n in (4, 60, 4_000, 9_000_000):
        events, p = np.full(c.size, float(n)), 0.05
        values, chances = boosting.scores(events, exponents, p)
        mean = float(values @ chances)
        assert float(chances.sum()) == pytest.approx(1.0, rel=1e-6)
        assert mean == pytest.approx(float(c @ events) * p, rel=1e-6)
        variance = float((values - mean) ** 2 @ chances)
        assert variance == pytest.approx(float(c * c @ events) * p * (1 - p), rel=1e-3)


def test_bursts_are_not_raised() -> None:
    processes = bank_at(100.0, 200.0)
    processes.divisor[:] = 1.7
    plain = bank_at(100.0, math.inf)
    plain.divisor[:] = 1.7
    assert after(processes, [6], [60], 0.05) == after(plain, [6], [60], 0.05)
