"""Noise of one cohort alone, learned from the A/A split: bursts raise the divisors just as much as fairness asks."""

import numpy as np
import pytest

from services.gate_evaluation.judge import History, Judge, JudgeSpec, Ratio, Window
from services.gate_evaluation.judge.noise.bursts import Bursts
from services.gate_evaluation.judge.noise.dispersion import Dispersion, Residual
from tests.support.judge.judging import ERRORS, P50, calm, cohort, history

EFFECTS = np.array([0.1, 0.3, 0.7, 1.1, 1.6])


def taught(every: int, size: float, windows: int = 400) -> Bursts:
    found = Bursts(1)
    for t in range(windows):
        value = size if every and t % every == 0 else 0.05
        found.update([Residual(value, 0.01, 0.01)])
    return found


def test_a_fleet_without_bursts_needs_no_divisor() -> None:
    assert taught(0, 0.0).divisors(0, 3.0, EFFECTS, 4.0) == pytest.approx(1.0)


def test_more_frequent_and_larger_bursts_need_larger_divisors() -> None:
    rare, often, large = (
        taught(*how, windows=2000).divisors(0, 3.0, EFFECTS, 4.0) for how in ((60, 1.0), (15, 1.0), (60, 4.0))
    )
    assert (often >= rare).all()
    assert often.max() > rare.max() > 1.0
    assert large.max() > rare.max()


def test_a_few_bursts_in_a_short_history_need_larger_divisors_than_the_same_share_of_a_long_one() -> None:
    few, many = (taught(60, 2.0, windows).divisors(0, 3.0, EFFECTS, 4.0) for windows in (120, 6000))
    assert (few >= many).all()
    assert few.max() > 2.0 * many.max()


def test_bursts_that_go_on_need_larger_divisors_than_single_ones() -> None:
    pairs = Bursts(1)
    for t in range(400):
        pairs.update([Residual(2.0 if t % 40 in (0, 1) else 0.05, 0.01, 0.01)])
    single = taught(20, 2.0)
    assert pairs.counts.sum() == pytest.approx(single.counts.sum(), rel=0.02)
    assert pairs.divisors(0, 3.0, EFFECTS, 4.0).max() > single.divisors(0, 3.0, EFFECTS, 4.0).max()


def test_under_the_noise_it_was_taught_evidence_does_not_grow() -> None:
    rng = np.random.default_rng(3)
    events, every, size = 3.0, 20, 2.0
    divisor = taught(every, size, 2000).divisors(0, events, EFFECTS, 4.0)
    mean_rate = 1.0 + size / every / 2.0  # either half bursts half of the times
    u = np.where(rng.random(400_000) < 1.0 / every / 2.0, 1.0 + size, 1.0) / mean_rate
    x = rng.poisson(events * u)
    for effect, phi in zip(EFFECTS, divisor, strict=True):
        gain = np.minimum((x * effect - events * np.expm1(effect)) / phi, 4.0)
        assert np.exp(gain).mean() <= 1.03


def test_dispersion_is_learned_at_its_size_and_is_zero_for_pure_chance() -> None:
    rng = np.random.default_rng(12)
    for sd in (0.0, 0.3):
        found = History((ERRORS,))
        for _ in range(600):
            rates = 0.02 * np.exp(sd * rng.normal(size=2))
            a, b = (cohort(float(rng.poisson(rate * 20_000)), 20_000) for rate in rates)
            found.update(Window(a=a, b=b))
        assert found.dispersion.variance(0) == pytest.approx(2 * sd * sd, rel=0.3, abs=0.002)


def test_noise_that_lasts_counts_for_more_than_noise_that_does_not() -> None:
    rng = np.random.default_rng(2)
    tau2 = []
    for rho in (0.0, 0.9):
        found = Dispersion(np.array([0.1]))
        value = 0.0
        for _ in range(800):
            value = rho * value + rng.normal() * 0.2 * (1 - rho**2) ** 0.5
            found.update([Residual(value, 0.0, 0.001)], rollout=False)
        tau2.append(float(found.tau2[1, 0]))
    assert tau2[1] > 5 * tau2[0]


def test_residuals_of_a_rollout_are_clipped_and_weigh_less() -> None:
    calm, shaken = Dispersion(np.array([0.1])), Dispersion(np.array([0.1]))
    for _ in range(100):
        for found in (calm, shaken):
            found.update([Residual(0.1, 0.0, 0.001)], rollout=False)
    shaken.update([Residual(50.0, 0.0, 0.001)], rollout=True)
    assert shaken.variance(0) < 2.0 * calm.variance(0)


def test_a_history_survives_its_document() -> None:
    rng = np.random.default_rng(1)
    past = History((ERRORS,))
    for _ in range(50):
        past.update(Window(a=cohort(float(rng.poisson(9)), 900), b=cohort(float(rng.poisson(9)), 900)))
    twin = History.from_doc((ERRORS,), past.to_doc())
    assert twin.to_doc() == past.to_doc()
    for found in (past, twin):
        found.update(Window(a=cohort(3, 900), b=cohort(30, 900)))
    assert twin.to_doc() == past.to_doc()


def test_a_window_that_lacks_a_metric_teaches_nothing_about_it() -> None:
    past = History((ERRORS,))
    before = past.to_doc()["gates"]
    past.update(Window(a=cohort(None), b=cohort(5)))
    past.update(Window(a=cohort(None, other=Ratio(1, 2)), b=cohort(5), late=True))
    assert past.to_doc()["gates"]["errors"]["windows"] == before["errors"]["windows"]


def test_a_calm_fleet_keeps_the_smaller_variance_of_frequent_events() -> None:
    past = history((P50,), n=2000)
    judge = Judge.start(JudgeSpec((P50,)), past)
    rng = np.random.default_rng(1)
    judge.observe(Window(canary=calm(rng, 200), baseline=calm(rng, 3800)), None)
    assert not judge._processes.divisor.any()
    assert judge._processes.phi[0] == pytest.approx(0.5, abs=0.15)
