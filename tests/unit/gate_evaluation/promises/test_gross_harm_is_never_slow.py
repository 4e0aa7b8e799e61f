"""Gross harm is found within five windows: whatever the history, the share and the tolerance, and sooner the worse."""

from collections.abc import Callable
from statistics import median

import numpy as np
import pytest

from services.gate_evaluation.judge import (
    Cohort,
    Count,
    Direction,
    GateKind,
    GateSpec,
    Gauge,
    History,
    Judge,
    JudgeSpec,
    Margin,
    Ratio,
    Window,
    Word,
)
from services.gate_evaluation.judge.versions import CURRENT, KNOWN, Parameters
from tests.support.judge.judging import histogram

Draw = Callable[[np.random.Generator, int, float], Cohort]
AT_MOST = 5


def errors(rng: np.random.Generator, n: int, rate: float) -> Cohort:
    return Cohort({"m": Ratio(float(rng.binomial(n, rate)), float(n))}, float(n))


def latency(rng: np.random.Generator, n: int, times: float) -> Cohort:
    return Cohort({"m": histogram(rng.lognormal(4.0, 0.5, size=n) * times, 4)}, float(n))


def served(rng: np.random.Generator, n: int, times: float) -> Cohort:
    return Cohort({"m": Count(float(rng.poisson(n * times)), float(n))}, float(n))


def memory(rng: np.random.Generator, n: int, times: float) -> Cohort:
    values = 50.0 * times * (1 + 0.02 * rng.normal(size=3))
    return Cohort({"m": Gauge(3.0, float(values.sum()), float((values**2).sum()))}, float(n))


def windows(
    gate: GateSpec, draw: Draw, calm: float, harm: float, *, seed: int, history: int, canary: int = 300,
    control: int = 300, parameters: Parameters = CURRENT, looks: int = 40,
) -> int:  # fmt: skip
    """Return the windows until the rollback; `looks` + 1 where there is none."""
    rng = np.random.default_rng(seed)
    past, half = History((gate,), parameters=parameters), (canary + control) // 2
    for _ in range(history):
        past.update(Window(a=draw(rng, half, calm), b=draw(rng, half, calm)))
    spec = JudgeSpec((gate,), splits=(canary / (canary + control),))
    judge = Judge.start(spec, past if history else None, report=False, parameters=parameters)
    for look in range(looks):
        window = Window(canary=draw(rng, canary, harm), baseline=draw(rng, control, calm))
        if judge.observe(window, None).word is Word.BREACH:
            return look + 1
    return looks + 1


def ratio(relative: float = 0.1, absolute: float = 0.0005) -> GateSpec:
    passing = Margin(max(relative, 0.5), max(absolute, 0.0025))
    return GateSpec("g", "m", GateKind.RATIO, tolerance=Margin(relative, absolute), pass_margin=passing)


@pytest.mark.parametrize("history", [0, 30, 120, 720])
@pytest.mark.parametrize("tolerance", [(0.1, 0.0005), (1.0, 0.0), (2.0, 0.0), (0.1, 0.05), (0.1, 0.1)])
def test_errors_from_1_to_40_percent(tolerance: tuple[float, float], history: int) -> None:
    for seed in range(16 if history < 720 else 4):
        assert windows(ratio(*tolerance), errors, 0.01, 0.40, seed=seed, history=history) <= AT_MOST


def test_the_version_before_could_be_blinded_by_the_harm_itself() -> None:
    found = [windows(ratio(9.0, 0.0), errors, 0.01, 0.4, seed=s, history=120, parameters=KNOWN["4"]) for s in range(16)]
    now = [windows(ratio(9.0, 0.0), errors, 0.01, 0.4, seed=s, history=120) for s in range(16)]
    assert max(now) <= 8 < max(found)


@pytest.mark.parametrize("history", [0, 30, 120])
@pytest.mark.parametrize(("canary", "control"), [(15, 285), (300, 5700), (285, 15), (30, 30), (30, 570)])
def test_small_and_large_shares(canary: int, control: int, history: int) -> None:
    for seed in range(8):
        harm = windows(ratio(), errors, 0.01, 0.4, seed=seed, history=history, canary=canary, control=control)
        assert harm <= AT_MOST


@pytest.mark.parametrize("history", [0, 30, 120])
def test_the_worse_the_sooner(history: int) -> None:
    medians = [
        median(windows(ratio(), errors, 0.01, harm, seed=seed, history=history) for seed in range(12))
        for harm in (0.03, 0.06, 0.12, 0.4, 0.9)
    ]
    assert medians == sorted(medians, reverse=True)
    assert medians[-1] <= 2


@pytest.mark.parametrize("harm", [0.03, 0.05, 0.4])
def test_a_short_history_is_hardly_blinder_than_none(harm: float) -> None:
    none, short = (
        median(windows(ratio(), errors, 0.01, harm, seed=seed, history=history) for seed in range(16))
        for history in (0, 30)
    )
    assert short <= none + 3


KINDS = (
    (GateSpec("g", "m", GateKind.QUANTILE, q=0.5), latency, 1.0, 10.0),
    (GateSpec("g", "m", GateKind.QUANTILE, q=0.99), latency, 1.0, 10.0),
    (GateSpec("g", "m", GateKind.MEAN), latency, 1.0, 10.0),
    (GateSpec("g", "m", GateKind.SLO, q=0.99, slo_max=400.0), latency, 1.0, 10.0),
    (GateSpec("g", "m", GateKind.RATIO, bad=Direction.DOWN), errors, 0.3, 0.03),
    (GateSpec("g", "m", GateKind.RATIO, bad=Direction.DOWN), errors, 0.3, 0.0),
    (GateSpec("g", "m", GateKind.COUNT, bad=Direction.DOWN), served, 1.0, 0.0),
    (GateSpec("g", "m", GateKind.COUNT), served, 1.0, 10.0),
    (GateSpec("g", "m", GateKind.GAUGE), memory, 1.0, 5.0),
    (GateSpec("g", "m", GateKind.GAUGE, bad=Direction.DOWN), memory, 1.0, 0.2),
)


@pytest.mark.parametrize("history", [0, 30, 120])
@pytest.mark.parametrize(("gate", "draw", "calm", "harm"), KINDS)
def test_other_kinds(gate: GateSpec, draw: Draw, calm: float, harm: float, history: int) -> None:
    for seed in range(3):
        assert windows(gate, draw, calm, harm, seed=seed, history=history) <= AT_MOST
