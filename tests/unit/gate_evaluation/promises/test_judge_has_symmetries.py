"""Properties that hold whatever the numbers: scale, order, merging, monotony, and no overflow at the extremes."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.gate_evaluation.judge import GateKind, GateSpec, Gauge, History, Judge, JudgeSpec, Window
from services.gate_evaluation.judge.evidence.e_processes import EProcesses, Form, Row
from services.gate_evaluation.judge.series.histograms import coarsened
from tests.support.judge.judging import ERRORS, FOUR, P99, calm, cohort, errors_gate, histogram, history, judged, window

SPEC = JudgeSpec((errors_gate(),), min_bake=10, max_bake=10, window_requests=2000)


@given(errors=st.integers(0, 15), more=st.integers(1, 15))
@settings(max_examples=40, deadline=None)
def test_more_canary_errors_are_more_evidence_of_harm_and_less_of_safety(errors: int, more: int) -> None:
    past = history((errors_gate(),))
    # One window apart and below an incident: what a window shows also teaches how noisy others are taken to be.
    first = window(1, 200, 5, 1800)
    few, many = (judged(SPEC, [first, window(x, 200, 5, 1800)], past)[-1].gates[0] for x in (errors, errors + more))
    assert many.log10_f >= few.log10_f - 1e-12
    assert many.log10_p <= few.log10_p + 1e-12


@given(scale=st.sampled_from([2.0**-20, 2.0**-5, 2.0**10, 2.0**20]), seed=st.integers(0, 50))
@settings(max_examples=10, deadline=None)
def test_a_latency_or_gauge_in_other_units_gives_the_same_evidence(scale: float, seed: int) -> None:
    gates = (P99, GateSpec("memory", "memory", GateKind.GAUGE))

    def evidence(times: float) -> list[tuple[float, float]]:
        rng = np.random.default_rng(seed)

        def one(slower: float) -> object:
            latency, memory = rng.lognormal(0, 0.5, size=400), 1.0 + 0.02 * rng.normal(size=3)
            gauge = Gauge(3.0, float(memory.sum() * slower * times))
            return cohort(None, 400.0, latency=histogram(latency * slower * times), memory=gauge)

        past = History(gates)
        for _ in range(20):
            past.update(Window(a=one(1.0), b=one(1.0)))  # type: ignore[arg-type]
        windows = [Window(canary=one(1.3), baseline=one(1.0)) for _ in range(6)]  # type: ignore[arg-type]
        verdict = judged(JudgeSpec(gates, splits=(0.5,)), windows, past)[-1]
        return [(gate.log10_f, gate.log10_p) for gate in verdict.gates]

    for ours, scaled in zip(evidence(1.0), evidence(scale), strict=True):
        assert scaled == pytest.approx(ours, rel=1e-9, abs=1e-9)


def test_gates_in_another_order_give_the_same_word_and_evidence() -> None:
    def last(gates: tuple[GateSpec, ...]) -> tuple[str, float]:
        rng = np.random.default_rng(3)
        windows = [Window(canary=calm(rng, 300, 0.02), baseline=calm(rng, 3000)) for _ in range(12)]
        verdict = judged(JudgeSpec(gates, min_bake=12, max_bake=12), windows, history(gates))[-1]
        return verdict.word.value, verdict.log10_f

    word, evidence = last(FOUR)
    other, shuffled = last(FOUR[::-1])
    assert word == other
    assert shuffled == pytest.approx(evidence, rel=1e-9)


def test_halves_of_the_fleet_swapped_teach_the_same_dispersion() -> None:
    taught = []
    for swapped in (False, True):
        rng = np.random.default_rng(9)
        past = History((ERRORS, P99))
        for _ in range(40):
            a, b = calm(rng, 500), calm(rng, 800)
            past.update(Window(a=b, b=a) if swapped else Window(a=a, b=b))
        taught.append(past.dispersion.tau2)
    assert taught[0] == pytest.approx(taught[1], rel=1e-9)


def test_a_window_in_two_halves_is_the_evidence_of_the_whole() -> None:
    def pass_evidence(parts: list[tuple[float, float]]) -> float:
        processes = EProcesses([Row(0, Form.BINOMIAL, (-0.2, -0.6), (0.5, 0.5), log_t0=math.log(1.5))], 1)
        for canary, baseline in parts:
            processes.n_canary[0], processes.n_baseline[0] = 100.0, 900.0
            processes.a[:], processes.x[:] = canary, canary + baseline
            processes.step(0.0)
        return float(processes.evidence()[0])

    assert pass_evidence([(2, 17), (3, 20)]) == pytest.approx(pass_evidence([(5, 37)]), rel=1e-12)


def test_a_histogram_of_finer_scale_is_read_as_the_coarser_one() -> None:
    rng = np.random.default_rng(4)
    values = rng.lognormal(1.0, 0.6, size=5000)
    fine, coarse = histogram(values, 6), histogram(values, 3)
    merged, offset = coarsened(np.array(fine.counts, dtype=float), fine.offset, 3)
    assert offset == coarse.offset
    assert merged.tolist() == list(coarse.counts)


@pytest.mark.parametrize(("requests", "rate"), [(1e12, 0.01), (1e12, 1e-12), (1e3, 1e-12), (5.0, 0.2), (1e12, 0.9999)])
def test_nothing_overflows_at_the_extremes(requests: float, rate: float) -> None:
    gates = (errors_gate(0.1, 0.0005),)
    judge = Judge.start(JudgeSpec(gates, min_bake=30, max_bake=30))
    events = round(requests * rate)
    for times in (1.0, 1.0, 0.0, 3.0) * 10:
        x = min(round(events * 0.05 * times), round(requests * 0.05))
        baseline = min(events, round(requests * 0.95))
        verdict = judge.observe(window(x, round(requests * 0.05), baseline, round(requests * 0.95)), None)
        numbers = [verdict.log10_f, verdict.gates[0].log10_f, verdict.gates[0].log10_p]
        assert all(map(math.isfinite, numbers))


def test_a_clear_doubling_is_found_at_every_scale_of_traffic_that_shows_it() -> None:
    for scale in (1.0, 1e3, 1e6):
        past = History((errors_gate(),))
        rng = np.random.default_rng(2)
        for _ in range(30):
            a, b = (cohort(float(rng.poisson(50)) * scale, 10_000 * scale) for _ in range(2))
            past.update(Window(a=a, b=b))
        windows = [window(100 * scale, 10_000 * scale, 50 * scale, 10_000 * scale)] * 40
        found = judged(dataclasses.replace(SPEC, min_bake=40, max_bake=40, splits=(0.5,)), windows, past)
        assert found[-1].word.value == "breach"
