"""Each kind of gate finds what it is for, and is quiet when nothing has changed."""

import dataclasses
import math

import numpy as np
import pytest

from services.gate_evaluation.judge import (
    Authority,
    Cohort,
    Count,
    Direction,
    ExplicitHistogram,
    GateKind,
    GateSpec,
    History,
    Judge,
    JudgeSpec,
    Margin,
    NoData,
    Ratio,
    Window,
    Word,
)
from services.gate_evaluation.judge.gates.burn_rate import PAIRS, excess
from services.gate_evaluation.judge.gates.own_history import betting
from services.gate_evaluation.judge.gates.slo import above
from services.gate_evaluation.judge.series.rolling_counts import RollingCounts
from services.gate_evaluation.judge.series.service_series import value_of
from tests.support.judge.judging import P50, P99, calm, cohort, histogram, history

BOUNDS = (5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 1000.0)


def explicit(values: np.ndarray) -> ExplicitHistogram:
    counts = np.histogram(values, bins=[-math.inf, *np.nextafter(BOUNDS, math.inf), math.inf])[0]
    return ExplicitHistogram(BOUNDS, counts.tolist(), float(values.sum()))


def run(
    gate: GateSpec, make: object, *, canary: float, windows: int = 60, past: int = 60, seed: int = 1
) -> tuple[Word, int, Judge]:
    """Judge a gate over windows of make(rng, factor) for canary and baseline; returns word, windows, judge."""
    rng = np.random.default_rng(seed)
    taught = History((gate,))
    for _ in range(past):
        taught.update(Window(a=make(rng, 1.0), b=make(rng, 1.0)))  # type: ignore[operator]
    judge = Judge.start(JudgeSpec((gate,), min_bake=windows, max_bake=windows, splits=(0.5,)), taught)
    for t in range(windows):
        verdict = judge.observe(Window(canary=make(rng, canary), baseline=make(rng, 1.0)), None)  # type: ignore[operator]
        if verdict.word is Word.BREACH:
            return verdict.word, t + 1, judge
    return verdict.word, windows, judge


def latency(rng: np.random.Generator, factor: float) -> Cohort:
    return cohort(None, 800, latency=histogram(rng.lognormal(4.0, 0.5, size=800) * factor))


def bounded(rng: np.random.Generator, factor: float) -> Cohort:
    return cohort(None, 800, latency=explicit(rng.lognormal(4.0, 0.5, size=800) * factor))


def heavy(rng: np.random.Generator, factor: float) -> Cohort:
    return cohort(None, 800, size=histogram((1 + rng.pareto(1.5, size=800)) * factor))


def traffic(rng: np.random.Generator, factor: float) -> Cohort:
    return Cohort({"rps": Count(float(rng.poisson(600 * factor)), 60.0)})


def converting(rng: np.random.Generator, factor: float) -> Cohort:
    return Cohort({"sold": Ratio(float(rng.binomial(2000, 0.05 * factor)), 2000.0)})


SOLD = GateSpec("sold", "sold", GateKind.RATIO, bad=Direction.DOWN, tolerance=Margin(0.05), pass_margin=Margin(0.25))
CASES = [
    (P99, latency, 1.5),
    (P50, latency, 1.2),
    (P99, bounded, 2.5),
    (GateSpec("mean", "size", GateKind.MEAN), heavy, 1.4),
    (GateSpec("rps", "rps", GateKind.COUNT, bad=Direction.BOTH), traffic, 0.7),
    (GateSpec("rps", "rps", GateKind.COUNT, bad=Direction.BOTH), traffic, 1.4),
    (SOLD, converting, 0.6),
]


@pytest.mark.parametrize(("gate", "make", "harm"), CASES, ids=lambda value: getattr(value, "name", str(value)))
def test_harm_is_found_and_no_change_passes(gate: GateSpec, make: object, harm: float) -> None:
    word, windows, _ = run(gate, make, canary=harm)
    assert (word, windows < 40) == (Word.BREACH, True)
    assert run(gate, make, canary=1.0)[0] is Word.PASSED


def test_an_improvement_is_not_a_breach_where_only_degradation_counts() -> None:
    assert run(P99, latency, canary=0.6)[0] is Word.PASSED
    assert run(SOLD, converting, canary=1.5)[0] is Word.PASSED


def test_a_restart_of_every_kind_continues_bit_for_bit() -> None:
    for gate, make, _ in CASES:
        _, _, judge = run(gate, make, canary=1.0, windows=12)
        twin = Judge.from_doc(judge.spec, judge.to_doc())
        rng = np.random.default_rng(5)
        for _ in range(4):
            window = Window(canary=make(rng, 1.1), baseline=make(rng, 1.0), a=make(rng, 1.0), b=make(rng, 1.0))
            assert twin.observe(window, None) == judge.observe(window, None)


@pytest.mark.parametrize(("scale", "effective"), [(4, 0.0443), (5, 0.0443), (3, 0.0905), (0, 1.0)])
def test_the_tolerance_of_a_quantile_snaps_to_buckets_and_says_so(scale: int, effective: float) -> None:
    def scaled(rng: np.random.Generator, factor: float) -> Cohort:
        return cohort(None, 800, latency=histogram(rng.lognormal(4.0, 0.5, size=800) * factor, scale))

    _, _, judge = run(P99, scaled, canary=1.0, windows=5)
    rng = np.random.default_rng(1)
    gate = judge.observe(Window(canary=scaled(rng, 1), baseline=scaled(rng, 1)), None).gates[0]
    assert gate.tolerance_asked == 0.05
    assert gate.tolerance_effective == pytest.approx(effective, abs=2e-3)


def test_explicit_bounds_snap_to_the_next_existing_edge() -> None:
    _, _, judge = run(P99, bounded, canary=1.0, windows=5)
    rng = np.random.default_rng(1)
    gate = judge.observe(Window(canary=bounded(rng, 1), baseline=bounded(rng, 1)), None).gates[0]
    assert gate.tolerance_effective == pytest.approx(1.0)  # 250 to 500 is the nearest step there is


def test_the_interval_covers_the_truth_and_narrows() -> None:
    _, _, judge = run(P99, latency, canary=1.0, windows=3)
    rng = np.random.default_rng(6)
    widths = []
    for _ in range(60):
        gate = judge.observe(Window(canary=latency(rng, 1.0), baseline=latency(rng, 1.0)), None).gates[0]
        if gate.low is not None and gate.high is not None:
            assert gate.low <= 0.0 <= gate.high
            widths.append(gate.high - gate.low)
    assert widths[-1] < 0.6 * widths[0]


def test_histograms_of_two_scales_are_compared_at_the_coarser() -> None:
    rng = np.random.default_rng(3)
    judge = Judge.start(JudgeSpec((P99,)), history((P99,)))
    mixed = Window(
        canary=cohort(None, 500, latency=histogram(rng.lognormal(4, 0.5, 500), 6)),
        baseline=cohort(None, 500, latency=histogram(rng.lognormal(4, 0.5, 500), 3)),
    )
    gate = judge.observe(mixed, None).gates[0]
    assert gate.no_data is None
    assert gate.detail["scale"] == 3


def test_changed_bounds_are_no_data_and_never_a_verdict() -> None:
    rng = np.random.default_rng(3)
    _, _, judge = run(P99, bounded, canary=1.0, windows=5)
    other = ExplicitHistogram((1.0, 2.0), (5, 5, 5), 20.0)
    gate = judge.observe(Window(canary=cohort(None, latency=other), baseline=bounded(rng, 1)), None).gates[0]
    assert gate.no_data is NoData.TELEMETRY_OUTAGE


SLO = GateSpec("slo", "errors", GateKind.SLO, slo_max=0.01)


@pytest.mark.parametrize(("rate", "word"), [(0.004, Word.PASSED), (0.03, Word.BREACH)])
def test_an_objective_judges_the_canary_alone(rate: float, word: Word) -> None:
    rng = np.random.default_rng(1)
    judge = Judge.start(JudgeSpec((SLO,), min_bake=40, max_bake=40))
    for _ in range(40):
        verdict = judge.observe(Window(canary=cohort(float(rng.binomial(500, rate)), 500)), None)
        if verdict.final:
            break
    assert verdict.word is word


def test_values_above_a_latency_objective_are_counted_from_whole_buckets() -> None:
    values = np.array([10.0, 100.0, 300.0, 900.0])
    assert above(histogram(values), 256.0) == (2, 2)
    assert above(explicit(values), 250.0) == (2, 2)
    assert above(explicit(values), 270.0) == (1, 2)


BURN = GateSpec("burn", "errors", GateKind.BURN_RATE, objective=0.999, authority=Authority.HOLD)


def burning(rate: float, windows: int) -> list[Word]:
    judge = Judge.start(JudgeSpec((BURN,), min_bake=600, max_bake=600))
    rng = np.random.default_rng(2)
    verdicts = [
        judge.observe(Window(canary=cohort(float(rng.binomial(1000, rate)), 1000)), None) for _ in range(windows)
    ]
    return [verdict.gates[0].word for verdict in verdicts]


def test_a_fast_burn_holds_and_a_burn_within_the_budget_does_not() -> None:
    assert Word.BREACH in burning(0.03, 20)
    assert Word.BREACH not in burning(0.001, 200)


@pytest.mark.parametrize("lengths", [[1.0], [10.0], [60.0], [10.0, 40.0], [7.0, 600.0, 30.0]])
def test_spans_are_the_clock_s_whatever_the_width_of_the_windows(lengths: list[float]) -> None:
    spans, end = RollingCounts(), 1.8e9
    ends: list[tuple[float, float]] = []
    for length in (each for each in lengths for _ in range(int(8000 / each) + 2)):
        start, end = end, end + length
        spans.add(start, end, 0.1 * length, length)
        ends.append((start, end))
    for span in (300.0, 1800.0, 3600.0, 21600.0):
        events, total = spans.over(span)
        true = min(span, end - ends[0][0])
        assert total == pytest.approx(true, abs=max(0.5 * lengths[-1], 0.1 * span))
        assert events == pytest.approx(0.1 * total)


def test_a_span_counts_nothing_that_lies_before_it() -> None:
    spans = RollingCounts()
    spans.add(0.0, 60.0, 5.0, 10.0)
    spans.now = 7200.0
    assert spans.over(3600.0) == (0.0, 0.0)
    assert spans.over(21600.0) == (5.0, 10.0)


def test_a_burn_is_certain_only_above_its_factor() -> None:
    assert excess(5, 1000, 0.01) == 0.0
    assert excess(100, 1000, 0.01) > 50
    assert [pair.factor for pair in PAIRS] == [14.4, 6, 1]


OWN = GateSpec("own", "errors", GateKind.OWN_HISTORY, authority=Authority.HOLD, bad=Direction.UP)


@pytest.mark.parametrize(("times", "word"), [(1.0, Word.PASSED), (3.0, Word.INCONCLUSIVE)])
def test_without_a_control_the_own_past_is_the_measure(times: float, word: Word) -> None:
    rng = np.random.default_rng(4)
    past = History((OWN,), 300.0)
    for _ in range(300):
        past.update(Window(a=calm(rng, 2000, 0.02), b=calm(rng, 2000, 0.02)))
    judge = Judge.start(JudgeSpec((OWN,), min_bake=30, max_bake=30, window_seconds=300.0), past)
    for _ in range(30):
        verdict = judge.observe(Window(canary=calm(rng, 4000, 0.02 * times)), None)
        if verdict.final:
            break
    assert verdict.word is word


def test_a_first_deploy_without_any_past_has_too_few_samples() -> None:
    judge = Judge.start(JudgeSpec((dataclasses.replace(OWN),), min_bake=5, max_bake=5))
    verdict = judge.observe(Window(canary=cohort(5, 1000)), None)
    assert verdict.gates[0].no_data is NoData.TOO_FEW_SAMPLES


def test_a_conformal_p_value_bets_fairly() -> None:
    p = (np.arange(200_000) + 0.5) / 200_000
    assert 0.85 < np.mean([betting(each) for each in p]) <= 1.0  # below 1 by the cap only
    assert betting(1e-9) == 20.0


def test_one_number_is_followed_for_each_kind_of_measure() -> None:
    assert value_of([Ratio(10, 1000)], 0.99) == pytest.approx(0.0105, abs=1e-4)
    assert value_of([histogram(np.linspace(1, 100, 1000))], 0.5) == pytest.approx(50, rel=0.05)
    assert value_of([], 0.5) is None
