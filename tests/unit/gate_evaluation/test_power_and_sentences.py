"""What a plan's gates can see, and verdicts as sentences with their numbers."""

import numpy as np
import pytest

from penstock.events import Doubt
from penstock.wording.verdicts import explain_gate, explain_verdict
from services.gate_evaluation.judge import Authority, GateKind, GateSpec, History, Judge, JudgeSpec, Window, Word
from services.gate_evaluation.power import Help, power, rendered
from tests.support.judge.judging import FOUR, cohort, errors_gate, window

SPEC = JudgeSpec(FOUR)


def test_a_service_with_traffic_sees_what_its_plan_refuses() -> None:
    found = {gate.name: gate for gate in power(SPEC, 200.0, 0.05, {"errors": 0.005})}
    assert all(gate.sees_margin and not gate.helps for gate in found.values())
    assert found["errors"].events_per_window == pytest.approx(3.0)
    assert found["errors"].tolerance < found["errors"].visible < 0.5


def test_a_quiet_service_is_told_what_would_help() -> None:
    found = {gate.name: gate for gate in power(SPEC, 1.0, 0.05, {"errors": 0.005})}
    errors = found["errors"]
    assert not errors.sees_margin
    assert {kind for kind, _ in errors.helps} >= {Help.LONGER_BAKE, Help.SYNTHETIC_TRAFFIC, Help.POOL_ENDPOINTS}
    assert Help.LARGER_SHARE in {kind for kind, _ in found["p50"].helps}


def test_more_traffic_a_larger_share_and_a_longer_bake_each_see_smaller_effects() -> None:
    def visible(traffic: float, split: float, bake: int) -> float:
        spec = JudgeSpec((errors_gate(),), min_bake=bake, max_bake=bake)
        return power(spec, traffic, split, {"errors": 0.005})[0].visible

    base = visible(50, 0.05, 60)
    assert max(visible(200, 0.05, 60), visible(50, 0.2, 60), visible(50, 0.05, 240)) < base


BURN = GateSpec("burn", "errors", GateKind.BURN_RATE, objective=0.99, authority=Authority.HOLD)
OWN = GateSpec("own", "errors", GateKind.OWN_HISTORY, authority=Authority.ADVISE)
SLO = GateSpec("slo", "errors", GateKind.SLO, slo_max=0.01)


def test_where_everyone_has_the_release_only_gates_without_a_control_can_see() -> None:
    spec = JudgeSpec((errors_gate(), BURN, OWN, SLO))
    assert [row["gate"] for row in rendered(power(spec, 10, 1.0, {}))] == ["burn", "own", "slo"]
    assert [row["gate"] for row in rendered(power(spec, 10, 0.1, {}))] == ["errors", "burn", "own", "slo"]


@pytest.mark.parametrize(
    ("traffic", "bake", "helps"),
    [
        (200.0, 60, set()),
        (200.0, 3, {Help.LONGER_BAKE}),
        (0.1, 60, {Help.SYNTHETIC_TRAFFIC, Help.POOL_ENDPOINTS, Help.LARGER_SHARE}),
        (0.001, 60, {Help.SYNTHETIC_TRAFFIC, Help.POOL_ENDPOINTS}),
    ],
)
def test_a_burn_rate_needs_five_minutes_and_traffic_that_makes_it_certain(
    traffic: float, bake: int, helps: set[Help]
) -> None:
    (found,) = power(JudgeSpec((BURN,), min_bake=bake, max_bake=bake), traffic, 0.05, {})
    assert {kind for kind, _ in found.helps} == helps
    assert found.sees_margin is not bool(helps)
    assert found.tolerance == pytest.approx(13.4)


def test_what_a_burn_rate_is_said_to_see_is_what_it_finds() -> None:
    spec = JudgeSpec((BURN,), min_bake=60, max_bake=60)
    (found,) = power(spec, 2.0, 0.5, {})
    for factor, breached in ((1.1, True), (0.9, False)):
        judge, rate = Judge.start(spec), 0.01 * (1.0 + found.visible) * factor
        words = [judge.observe(Window(canary=cohort(60 * rate, 60)), None).gates[0].word for _ in range(60)]
        assert (words[-1] is Word.BREACH) is breached


def test_an_own_history_says_how_much_past_it_wants_and_what_the_exposure_hides() -> None:
    taught = History((OWN,), 300.0)
    rng = np.random.default_rng(5)
    for _ in range(300):
        taught.update(Window(baseline=cohort(float(rng.poisson(200)), 20_000.0)))
    spec = JudgeSpec((OWN,), window_seconds=300.0)
    (unknown,), (known,), (half,) = (
        power(spec, 10, split, {}, past) for split, past in ((1.0, None), (1.0, taught), (0.5, taught))
    )
    assert unknown.helps == ((Help.LONGER_PAST, 16.0),)
    assert (known.helps, known.noise_windows) == ((), 288.0)
    assert 0.1 < known.visible < 0.5
    assert half.visible == pytest.approx(2 * known.visible)


def test_noise_beyond_chance_keeps_more_traffic_from_seeing_ever_smaller_effects() -> None:
    calm, noisy = past(0.0), past(0.3)
    few, many = (power(SPEC, traffic, 0.05, {}, noisy)[0] for traffic in (2_000.0, 200_000.0))
    assert many.visible > 0.8 * few.visible
    assert power(SPEC, 200_000.0, 0.05, {}, calm)[0].visible < 0.5 * many.visible


def test_a_noisy_fleet_needs_more_windows_both_to_find_and_to_pass() -> None:
    calm, noisy = (power(SPEC, 500.0, 0.05, {}, past(spread))[0] for spread in (0.0, 0.3))
    assert noisy.windows_for_margin is not None
    assert calm.windows_for_margin is not None
    assert noisy.windows_for_margin > 2 * calm.windows_for_margin
    assert (noisy.windows_to_pass or 0) > (calm.windows_to_pass or 0)


def test_power_says_whether_the_noise_was_learnt_or_is_assumed() -> None:
    assumed = power(SPEC, 200.0, 0.05, {})[0]
    learnt = power(SPEC, 200.0, 0.05, {}, past(0.3))[0]
    assert (assumed.noise, assumed.noise_windows) == (pytest.approx(0.1), 0)
    assert learnt.noise_windows > 50
    assert learnt.noise > 0.2


def test_the_rate_of_errors_is_the_historys_unless_it_is_stated() -> None:
    found = [power(SPEC, 200.0, 0.05, rates, past(0.0))[0].events_per_window for rates in ({}, {"errors": 0.05})]
    assert found == [pytest.approx(600 * 0.02, rel=0.1), pytest.approx(600 * 0.05)]


def past(spread: float) -> History:
    """Return the history of halves whose error rates, 2 % in the mean, wander apart by `spread` a window."""
    rng = np.random.default_rng(4)
    found = History(FOUR)
    for _ in range(80):
        a, b = (cohort(float(rng.poisson(2000 * np.exp(spread * rng.normal()))), 100_000.0) for _ in range(2))
        found.update(Window(a=a, b=b))
    return found


GATE = {
    "gate": "p99", "kind": "quantile", "word": "inconclusive", "final": False, "absolute": 0.038, "absolute_low": 0.012,
    "absolute_high": 0.064, "unit": "s", "tolerance": 0.05, "tolerance_effective": 0.05, "windows_needed": 14,
    "detail": {"limit_absolute": 0.025}, "evidence": 0.7,
}  # fmt: skip


def test_an_open_gate_reads_as_difference_band_limit_and_windows_to_go() -> None:
    said = "p99 +38 ms (band +12 to +64) against a limit of +25 ms: inconclusive, about 14 more windows"
    assert explain_gate(GATE) == said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tolerance_effective": 0.0443}, "(asked +5.0 %, buckets allow +4.4 %)"),
        ({"word": "breach", "evidence": 3.0}, "breach, evidence 1 in 1,000"),
        (
            {"word": "breach", "evidence": 3.0, "detail": {"tails": 4.0}},
            "breach of the tail from there on, evidence 1 in 1,000",
        ),
        ({"word": "passed", "final": True}, "limit of +25 ms: passed"),
        ({"final": True}, "inconclusive, the bake is over"),
        ({"windows_needed": None}, "no decision in sight"),
        ({"windows_needed": 1}, "about 1 more window"),
        ({"absolute_low": None}, "(at most +64 ms)"),
        ({"absolute_high": None}, "(at least +12 ms)"),
        ({"no_data": "metric_never_seen"}, "no data, the metric has never been reported"),
        ({"absolute": None, "estimate": None}, "not measured yet"),
    ],
)
def test_each_state_of_a_gate_has_its_words(change: dict[str, object], said: str) -> None:
    assert said in explain_gate(GATE | change)


def test_a_ratio_is_told_in_percentage_points_and_a_gauge_in_per_cent() -> None:
    ratio = {"gate": "errors", "kind": "ratio", "word": "inconclusive", "absolute": 0.0031, "absolute_low": -0.0002,
             "absolute_high": 0.0071, "tolerance": 0.1, "tolerance_effective": 0.1,
             "detail": {"limit_absolute": 0.0005}, "windows_needed": 3}  # fmt: skip
    assert explain_gate(ratio).startswith("errors +0.31 pp (band -0.020 to +0.71) against a limit of +0.050 pp")
    gauge = {"gate": "memory", "kind": "gauge", "word": "passed", "estimate": 0.012, "low": -0.01, "high": 0.03,
             "tolerance_effective": 0.05}  # fmt: skip
    assert explain_gate(gauge) == "memory +1.2 % (band -1.0 to +3.0) against a limit of +5.0 %: passed"


@pytest.mark.parametrize(
    ("direction", "said"),
    [
        ("down", "-4.0 % (band -9.0 to +1.0) against a limit of -10 %"),
        ("both", "-4.0 % (band -9.0 to +1.0) against a limit of ±10 %"),
        (None, "-4.0 % (band -9.0 to +1.0) against a limit of +10 %"),
    ],
)
def test_a_limit_has_the_sign_of_the_direction_that_is_worse(direction: str | None, said: str) -> None:
    orders = {"gate": "orders", "kind": "count", "word": "inconclusive", "estimate": -0.04, "low": -0.09, "high": 0.01,
              "tolerance_effective": 0.1, "direction": direction, "windows_needed": 5}  # fmt: skip
    assert said in explain_gate(orders)
    ratio = {"gate": "bought", "kind": "ratio", "word": "passed", "absolute": -0.001, "tolerance_effective": 0.1,
             "direction": direction, "detail": {"limit_absolute": 0.002}}  # fmt: skip
    sign = {"down": "-", "both": "±", None: "+"}[direction]
    assert f"limit of {sign}0.20 pp" in explain_gate(ratio)
    cpu = {"gate": "cpu", "kind": "gauge", "word": "passed", "absolute": 1.0, "unit": "cores", "direction": direction,
           "tolerance_effective": 0.1, "detail": {"limit_absolute": 2.0}}  # fmt: skip
    assert f"limit of {sign}2.0 cores" in explain_gate(cpu)


@pytest.mark.parametrize("doubt", sorted(Doubt))
def test_every_doubt_has_its_words(doubt: Doubt) -> None:
    unmeasured = explain_gate(GATE | {"no_data": "metric_never_seen", "doubt": doubt.value})
    if doubt is Doubt.BAD_NEVER_SEEN:
        assert unmeasured == "p99: no data, the metric has never been reported: check its name in the plan"
    else:
        assert unmeasured.endswith(f"({doubt})")
        assert len(unmeasured) > len(f"p99: no data, {doubt} ({doubt})")
    assert explain_gate(GATE | {"doubt": doubt.value}).startswith(explain_gate(GATE) + "; ")


def test_a_verdict_is_told_decision_first_and_worst_gate_next() -> None:
    event = {
        "word": "breach", "final": True, "judged": 7, "evidence": 2.5, "threshold": 2.0, "blamed": ["errors"],
        "flags": ["traffic_split", "evidence"],
        "gates": [GATE, {"gate": "errors", "kind": "ratio", "word": "breach", "estimate": 1.0, "evidence": 3.1}],
    }  # fmt: skip
    lines = explain_verdict(event)
    assert lines[0].startswith("breach (final) after 7 judged windows; evidence of harm 1 in 316 under no harm")
    assert "blamed: errors" in lines[0]
    assert "the traffic split differs from the configured one" in lines[0]
    assert lines[1].startswith("errors ")


def test_the_limit_of_a_share_is_the_plans_own_whatever_the_present_rate() -> None:
    judge = Judge.start(JudgeSpec((errors_gate(0.1, 0.05),)))
    for _ in range(30):
        judge.observe(window(0, 100, 10, 1900), 0.05)
    for _ in range(30):
        last = judge.observe(window(0, 100, 0, 1900), 0.05).gates[0]
    assert last.baseline is not None
    assert 0.0 < last.baseline < 0.003
    assert last.limit_absolute == 0.05
