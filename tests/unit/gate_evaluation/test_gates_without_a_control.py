"""Objectives, burning budgets and own histories: what they count, by which clock, and what a restart keeps."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from services.gate_evaluation.judge import (
    Authority,
    Direction,
    ExplicitHistogram,
    GateKind,
    GateSpec,
    Gauge,
    History,
    Judge,
    JudgeSpec,
    NoData,
    Ratio,
    Window,
    Word,
)
from services.gate_evaluation.judge.gates.burn_rate import PAIRS, bounds, certain_after
from services.gate_evaluation.judge.gates.slo import above, edges_around
from services.gate_evaluation.judge.series.forecast import DAY, FEWEST, POINT_S, Forecast
from services.gate_evaluation.judge.series.service_series import of_service, value_of
from tests.support.judge.judging import cohort, histogram

P95 = GateSpec("fast", "latency", GateKind.SLO, q=0.95, slo_max=100.0)
RATE = GateSpec("goal", "errors", GateKind.SLO, slo_max=0.01)
BURN = GateSpec("burn", "errors", GateKind.BURN_RATE, objective=0.99, authority=Authority.HOLD)
OWN = GateSpec("own", "errors", GateKind.OWN_HISTORY, authority=Authority.ADVISE)
values = st.lists(st.floats(0.01, 10_000.0), min_size=1, max_size=40)


@given(values, st.floats(0.02, 9_000.0), st.integers(-1, 6))
@settings(max_examples=200, deadline=None)
def test_what_lies_above_a_limit_is_never_over_nor_understated(found: list[float], limit: float, scale: int) -> None:
    true = sum(value > limit for value in found)
    for drawn in (histogram(found, scale), explicit(found, (0.5, 5.0, 50.0, 500.0))):
        certain, possible = above(drawn, limit)
        assert certain <= true * (1 + 1e-9) or math.isclose(limit, edges_around(drawn, limit)[1], rel_tol=1e-6)
        assert possible >= true
        low, high = edges_around(drawn, limit)
        assert low <= limit * (1 + 1e-9)
        assert high >= limit * (1 - 1e-9)


def explicit(found: list[float], bounds_: tuple[float, ...]) -> ExplicitHistogram:
    counts = np.histogram(found, bins=[-math.inf, *np.nextafter(bounds_, math.inf), math.inf])[0]
    return ExplicitHistogram(bounds_, counts.tolist(), float(sum(found)))


def test_an_edge_cuts_nothing() -> None:
    assert edges_around(explicit([1.0], (0.5, 5.0)), 5.0) == (5.0, 5.0)
    assert edges_around(explicit([1.0], (0.5, 5.0)), 9.0) == (5.0, math.inf)
    assert edges_around(histogram([1.0], 4), 2.0) == pytest.approx((2.0, 2.0))


def latencies(rng: np.random.Generator, median: float) -> Window:
    return Window(canary=cohort(None, 400, latency=histogram(rng.lognormal(math.log(median), 0.4, size=400), 4)))


@pytest.mark.parametrize(("median", "word"), [(35.0, Word.PASSED), (75.0, Word.BREACH)])
def test_a_latency_objective_judges_the_canary_alone(median: float, word: Word) -> None:
    rng = np.random.default_rng(1)
    judge = Judge.start(JudgeSpec((P95,), min_bake=40, max_bake=40))
    for _ in range(40):
        verdict = judge.observe(latencies(rng, median), None)
        if verdict.final:
            break
    assert verdict.word is word


def test_a_limit_beyond_the_last_bucket_can_pass_but_never_fail() -> None:
    rng, gate = np.random.default_rng(1), replace(P95, slo_max=9_000.0)
    judge = Judge.start(JudgeSpec((gate,), min_bake=40, max_bake=40))
    for slow, word in ((0.0, Word.PASSED), (0.3, Word.INCONCLUSIVE)):
        judge = Judge.start(JudgeSpec((gate,), min_bake=40, max_bake=40))
        for _ in range(40):
            drawn = np.where(rng.random(400) < slow, 800.0, 20.0).tolist()
            verdict = judge.observe(Window(canary=cohort(None, latency=explicit(drawn, (50.0, 500.0)))), None)
        assert verdict.gates[0].word is word
        assert verdict.gates[0].log10_f <= 0.0


def test_the_band_of_an_objective_covers_the_true_rate_and_narrows() -> None:
    rng = np.random.default_rng(3)
    judge = Judge.start(JudgeSpec((RATE,), min_bake=100, max_bake=100))
    widths = []
    for _ in range(100):
        gate = judge.observe(Window(canary=cohort(float(rng.binomial(500, 0.012)), 500)), None).gates[0]
        assert gate.low is not None or gate.high is not None or not widths
        if gate.low is not None and gate.high is not None:
            assert 0.01 * (1 + gate.low) <= 0.012 <= 0.01 * (1 + gate.high)
            widths.append(gate.high - gate.low)
    assert widths[-1] < 0.6 * widths[0]


def test_the_bands_of_many_objectives_miss_the_truth_no_oftener_than_they_may() -> None:
    missed = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        judge = Judge.start(JudgeSpec((RATE,), alpha=0.05, min_bake=40, max_bake=40))
        out = False
        for _ in range(40):
            gate = judge.observe(Window(canary=cohort(float(rng.binomial(300, 0.01)), 300)), None).gates[0]
            out |= (gate.low is not None and gate.low > 0) or (gate.high is not None and gate.high < 0)
        missed += out
    assert missed <= binom.ppf(0.999, 200, 2 * 0.05)  # both sides, each at alpha


@given(st.integers(0, 200), st.integers(200, 5000), st.floats(0.5, 40.0))
@settings(max_examples=200, deadline=None)
def test_bounds_of_a_burn_hold_the_rate_and_widen_with_the_certainty_asked(
    events: int, total: int, nats: float
) -> None:
    low, high = bounds(events, total, nats)
    wider_low, wider_high = bounds(events, total, 2 * nats)
    assert wider_low <= low <= events / total <= high <= wider_high
    assert binom.cdf(events, total, min(high * (1 + 1e-4), 1.0)) <= math.exp(-nats) * (1 + 1e-4) or high >= 1.0 - 1e-6


def minute_of_breach(widths: list[float], rate: float) -> float | None:
    """Return the seconds until a burn of this rate is told, at two requests a second."""
    judge = Judge.start(JudgeSpec((BURN,), min_bake=5000, max_bake=5000, window_seconds=widths[0]))
    begun, at = 1.8e9, 0.0
    for width in widths:
        total = 2.0 * width
        window = Window(canary=cohort(total * rate, total), seconds=width, epoch=begun + at)
        at += width
        if judge.observe(window, None).gates[0].word is Word.BREACH:
            return at
    return None


@pytest.mark.parametrize(("rate", "about"), [(0.3, 300.0), (0.09, 1800.0)])
def test_a_burn_is_told_at_the_same_minute_however_wide_the_windows_are_or_become(rate: float, about: float) -> None:
    found = [
        minute_of_breach(widths, rate)
        for widths in ([10.0] * 400, [60.0] * 70, [10.0] * 15 + [60.0] * 60, [60.0] * 3 + [10.0] * 300, [120.0] * 30)
    ]
    assert None not in found
    assert all(about <= each <= about + 180.0 for each in found if each is not None), found


def test_windows_that_are_not_judged_age_a_burn_all_the_same() -> None:
    judge = Judge.start(JudgeSpec((BURN,), min_bake=5000, max_bake=5000))
    for at in range(5):
        judge.observe(Window(canary=cohort(4.0, 100), seconds=60.0, epoch=60.0 * at), None)
    for at in range(5, 70):
        judge.observe(Window(seconds=60.0, epoch=60.0 * at), None)
    gate = judge.observe(Window(canary=cohort(0.0, 100), seconds=60.0, epoch=60.0 * 70), None).gates[0]
    assert gate.detail["burn_3600s"] == gate.detail["burn_300s"] == 0.0
    assert gate.detail["burn_21600s"] == pytest.approx(20 / 600 / 0.01)


def test_each_rollout_burns_its_own_budget() -> None:
    first = Judge.start(JudgeSpec((BURN,), min_bake=50, max_bake=50))
    for _ in range(20):
        first.observe(Window(canary=cohort(30.0, 100)), None)
    past = History.from_doc((BURN,), first.to_doc()["history"])
    second = Judge.start(JudgeSpec((BURN,), min_bake=50, max_bake=50), past)
    gate = second.observe(Window(canary=cohort(0.0, 100)), None).gates[0]
    assert (gate.word, gate.canary) == (Word.INCONCLUSIVE, 0.0)


def test_the_certainty_of_a_burn_costs_more_at_every_look_and_in_all_one_in_a_thousand() -> None:
    spent = sum(len(PAIRS) * math.exp(-certain_after(look)) for look in range(1, 100_000))
    assert 0.00099 < spent <= 0.001


def points_at(past: Forecast, count: int, value: float = 0.0, begin: float = 0.0, width: float = POINT_S) -> float:
    for at in range(count):
        past.add(begin + at * width, begin + (at + 1) * width, value)
    return begin + count * width


@pytest.mark.parametrize("width", [10.0, 60.0, 150.0, 300.0, 900.0])
def test_a_point_is_five_minutes_of_the_clock_or_one_longer_window(width: float) -> None:
    past = Forecast()
    points_at(past, int(9000 / width), width=width)
    assert len(past.points) == round(9000 / max(width, POINT_S))


def test_yesterday_is_the_same_time_of_the_clock_and_gaps_move_nothing() -> None:
    past = Forecast()
    end = points_at(past, 40)
    past.add(end, end + POINT_S, 1.0)  # a peak, at a known time
    points_at(past, 100, begin=end + POINT_S)
    after_gap = end + (DAY - 12) * POINT_S
    points_at(past, 12, begin=after_gap)
    assert past.expected(40 + DAY) == pytest.approx(0.5)
    assert past.expected(40 + DAY + 3) == pytest.approx(0.0)


def test_a_level_of_long_ago_says_nothing_of_today() -> None:
    past = Forecast()
    points_at(past, 40)
    assert past.expected(41) == 0.0
    assert past.expected(40 + 100) is None


def test_a_step_raises_the_alarm_within_half_an_hour_from_the_fewest_residuals_on() -> None:
    rng = np.random.default_rng(2)
    taught = History((OWN,), POINT_S)
    for _ in range(FEWEST + 13):
        taught.update(Window(baseline=cohort(float(rng.poisson(200)), 20_000.0)))
    judge = Judge.start(JudgeSpec((OWN,), min_bake=40, max_bake=40, window_seconds=POINT_S), taught)
    words = [
        judge.observe(Window(canary=cohort(float(rng.poisson(400)), 20_000.0)), None).gates[0].word for _ in range(20)
    ]
    assert Word.BREACH in words[:7]
    assert set(words[7:]) == {Word.BREACH}, "once raised it stands"


def test_calm_services_seldom_look_unlike_their_past() -> None:
    alarms = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        taught = History((OWN,), POINT_S)
        for _ in range(FEWEST + 13):
            taught.update(Window(baseline=cohort(float(rng.poisson(200)), 20_000.0)))
        judge = Judge.start(JudgeSpec((OWN,), min_bake=100, max_bake=100, window_seconds=POINT_S), taught)
        for _ in range(100):
            verdict = judge.observe(Window(canary=cohort(float(rng.poisson(200)), 20_000.0)), None)
        alarms += verdict.gates[0].word is Word.BREACH
    assert alarms <= 2


def test_the_service_is_followed_whole_whatever_the_exposure() -> None:
    both = Window(canary=cohort(5.0, 100), baseline=cohort(15.0, 1900))
    assert value_of(of_service(both, "errors"), None) == pytest.approx(20.5 / 2001)
    assert value_of(of_service(replace(both, baseline=None), "errors"), None) == pytest.approx(5.5 / 101)
    halves = Window(a=cohort(5.0, 100), b=cohort(15.0, 1900))
    assert value_of(of_service(halves, "errors"), None) == pytest.approx(20.5 / 2001)
    assert value_of([Ratio(1, 2), Gauge(1, 1, 1)], None) is None
    fine, coarse = histogram([10.0] * 99 + [90.0], 6), histogram([10.0] * 99 + [90.0], 3)
    assert value_of([fine, coarse], 0.999) == pytest.approx(90.0, rel=0.1)
    assert value_of([fine, explicit([1.0], (2.0,))], 0.9) is None


def test_a_canary_of_a_small_share_is_seen_by_its_share_of_the_service() -> None:
    rng = np.random.default_rng(2)
    taught = History((OWN,), POINT_S)
    for _ in range(FEWEST + 13):
        taught.update(Window(baseline=cohort(float(rng.poisson(200)), 20_000.0)))
    judge = Judge.start(JudgeSpec((OWN,), min_bake=40, max_bake=40, window_seconds=POINT_S), taught)
    for _ in range(12):
        canary, baseline = cohort(float(rng.poisson(4)), 200.0), cohort(float(rng.poisson(198)), 19_800.0)
        gate = judge.observe(Window(canary=canary, baseline=baseline), None).gates[0]
    assert gate.canary == pytest.approx(0.01, rel=0.3)
    assert gate.word is not Word.BREACH


def test_a_past_without_the_metric_is_an_outage_and_one_without_requests_is_idle() -> None:
    judge = Judge.start(JudgeSpec((OWN,), min_bake=5, max_bake=5))
    said = [judge.observe(window, None).gates[0] for window in (Window(), Window(canary=cohort(0.0, 0.0)))]
    assert [gate.no_data for gate in said] == [NoData.TELEMETRY_OUTAGE, NoData.NO_TRAFFIC]
    few = judge.observe(Window(canary=cohort(1.0, 100.0)), None).gates[0]
    assert few.no_data is NoData.TOO_FEW_SAMPLES
    assert few.windows_needed == (FEWEST + 12) * 5


@pytest.mark.parametrize("gate", [P95, RATE, BURN, OWN, replace(OWN, bad=Direction.BOTH)], ids=lambda gate: gate.name)
def test_a_restart_continues_bit_for_bit(gate: GateSpec) -> None:
    def window(at: int, rng: np.random.Generator) -> Window:
        errors = float(rng.binomial(500, 0.02))
        latency = histogram(rng.lognormal(4.0, 0.4, size=100), 4)
        return Window(canary=cohort(errors, 500.0, latency=latency), seconds=140.0, epoch=140.0 * at)

    rng = np.random.default_rng(9)
    taught = History((gate,), 140.0)
    for at in range(700):
        taught.update(window(at, rng))
    spec = JudgeSpec((gate,), window_seconds=140.0)
    judge = Judge.start(spec, taught)
    for at in range(700, 730):
        judge.observe(window(at, rng), None)
    twin = Judge.from_doc(spec, judge.to_doc())
    for at in range(730, 745):
        following = window(at, rng)
        assert twin.observe(following, None) == judge.observe(following, None)
