"""Noise that an A/A history was too short to show is reckoned with where it would matter, and nowhere else."""

import numpy as np
import pytest

from services.gate_evaluation.judge import History, Judge, JudgeSpec
from services.gate_evaluation.judge.evidence.e_processes import EProcesses, Form, Row
from services.gate_evaluation.judge.noise.dispersion import Dispersion, Residual, hidden_noise
from tests.bench.judge.draw import whole
from tests.bench.judge.ours import GATES, learn
from tests.bench.judge.scenarios import SCENARIOS

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


def taught(windows: int) -> Dispersion:
    found = Dispersion(np.array([0.1]))
    rng = np.random.default_rng(windows)
    for _ in range(windows):
        found.update([Residual(float(rng.normal()) * 0.25, 0.0625, 0.0625)], rollout=False)
    return found


def phi(split: float, unsure: float, *, plain: bool = False, plausible: float = 100.0) -> float:
    processes = EProcesses([Row(0, Form.BINOMIAL, (0.3,), (1.0,), plain=plain)], 1)
    processes.n_canary[0], processes.n_baseline[0] = split, 1.0 - split
    processes.unsure, processes.plausible = np.array([[unsure], [0.0]]), np.array([plausible])
    processes.step(0.0)
    return float(processes.phi[0])


def test_a_small_canary_costs_nothing_and_a_large_one_is_guarded() -> None:
    two_hours = float(taught(120).unsure[0, 0])
    assert phi(0.01, two_hours) == 1.0
    assert phi(0.05, two_hours) < 1.01
    assert phi(0.5, two_hours) > 1.3
    assert phi(0.5, two_hours, plain=True) == 1.0  # passing has no safety factor either


def test_a_day_of_history_leaves_little_doubt() -> None:
    day, hours, none = (float(taught(windows).unsure[0, 0]) for windows in (1440, 120, 0))
    assert day < 0.4 * hours < 0.4 * none
    assert phi(0.5, day) < 1.1


def test_where_events_are_few_noise_that_could_matter_is_not_plausible() -> None:
    assert phi(0.5, float(taught(0).unsure[0, 0]), plausible=0.03) == 1.0
    assert phi(0.5, float(taught(120).unsure[0, 0]), plausible=2.0) > 1.3


def test_doubt_is_of_noise_that_is_seen_too_but_never_below_nothing() -> None:
    unsure, even, noise = (
        np.array([0.0, 0.4, 0.4, 0.4]),
        np.array([1.0, 0.07, 1.0, 1.0]),
        np.array([0.0, 0.0, 0.2, 2.0]),
    )
    found = hidden_noise(unsure, even, noise, np.full(4, 10.0))
    assert (found >= 0.0).all()
    assert found[0] == found[1] == 0.0
    assert found[3] > found[2] > 0.0
    assert (hidden_noise(unsure, even, noise, np.zeros(4)) < found + 1e-12).all()


def test_bursts_have_divisors_of_their_own_instead() -> None:
    history = History(GATES)
    assert (history.unsure[0] > 0).all()
    channels = history.dispersion.prior.size
    for size in (0.1, 4.0, 4.0):  # once or twice is what lasting noise does, too
        history.bursts.update([Residual(size, 0.05, 0.05)] + [None] * (channels - 1))
        assert (history.unsure[0] > 0).all()
    history.bursts.update([Residual(4.0, 0.05, 0.05)] + [None] * (channels - 1))
    assert history.unsure[0, 0] == 0.0
    assert (history.unsure[0, 1:] > 0).all()
    again = History.from_doc(GATES, history.to_doc())
    assert (again.unsure == history.unsure).all()


@pytest.mark.parametrize("name", ["p99 +25 %", "both at tolerance, canary 50 %, noise"])
def test_a_judge_restored_before_any_window_goes_on_bit_for_bit(name: str) -> None:
    scenario = BY_NAME[name]
    split = scenario.world.split
    past, run = whole(scenario, 7, 7)
    history = learn(past)
    spec = JudgeSpec(GATES, splits=(split,))
    judge = Judge.start(spec, history, report=False)
    for t in range(12):
        again = Judge.from_doc(spec, judge.to_doc(), report=False)
        one, two = (each.observe(run.window(t), split) for each in (judge, again))
        assert one == two
    assert judge.to_doc() == again.to_doc()
