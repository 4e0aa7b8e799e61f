"""Every kind of gate that a plan can name, from exported telemetry to the decision and to the sentence about it."""

import re

import pytest

from penstock.events import Word
from penstock.events.verdicts import NoDataReason
from penstock.plan import load_plan
from penstock.wording.verdicts import explain_gate
from services.console.pages.site import gate_words
from services.console.wording.words import clause, gate_word
from tests.support.deciders.slice import deploy
from tests.support.metrics.shop import HEAD, Shop

FIVE_MINUTES = 300.0
PAST = 210
ALL = """\
windows: {length: 5m}
gates:
  errors: {kind: ratio, metric: http.server.request.duration, bad: {http.response.status_code: "5*"}}
  p99: {kind: quantile, metric: http.server.request.duration, quantile: 0.99}
  mean: {kind: mean, metric: http.server.request.duration, unit: s}
  memory: {kind: gauge, metric: memory}
  orders: {kind: count, metric: orders}
  goal: {kind: slo, metric: http.server.request.duration, bad: {http.response.status_code: "5*"}, objective: 3%}
  fast: {kind: slo, metric: http.server.request.duration, quantile: 0.99, below: 400ms}
  budget: {kind: burn_rate, metric: http.server.request.duration, bad: {http.response.status_code: "5*"}, objective: 2%}
  past: {kind: own_history, follows: quantile, metric: http.server.request.duration, quantile: 0.9, unit: s}
stages:
  - {name: canary, exposure: 25%, bake: {min: 6, max: 12}}
"""
GOAL = """\
windows: {length: 5m}
gates:
  fast: {kind: slo, metric: http.server.request.duration, quantile: 0.95, below: 200ms}
stages:
  - {name: canary, exposure: 25%, bake: {min: 6, max: 12}}
"""
ALONE = """\
windows: {length: 5m}
gates:
  past: {kind: own_history, follows: quantile, metric: http.server.request.duration, quantile: 0.9, unit: s}
  failing:
    {kind: own_history, follows: ratio, metric: http.server.request.duration, bad: {http.response.status_code: "5*"}}
stages:
  - {name: everyone, exposure: 100%, bake: {min: 12, max: 24}}
"""


def explained(shop: Shop, gate: str) -> str:
    return explain_gate(shop.gate(gate).model_dump(mode="json"))


def test_each_kind_is_measured_from_telemetry_judged_and_told_in_a_sentence() -> None:
    shop = Shop(ALL, FIVE_MINUTES)
    shop.register()
    shop.serve(PAST, baseline=600)
    shop.release()
    shop.serve(5, canary=200, baseline=400)
    kinds = load_plan(HEAD + ALL).gates
    assert {gate.kind for gate in shop.verdicts[-1].gates} == {gate.kind for gate in kinds.values()}
    for gate in shop.verdicts[-1].gates:
        assert gate.no_data is None, gate
        assert None not in (gate.canary.value, gate.baseline.value, gate.estimate, gate.evidence), gate
        assert (gate.threshold, gate.threshold_pass) == (pytest.approx(2.0), pytest.approx(1.30103))
        if gate.kind != "own_history":
            assert gate.canary.n > 0
            assert gate.fails is not None
            assert (gate.canary.events is None) is (gate.kind == "gauge")
        assert explained(shop, gate.gate) == clause(gate)
        assert "None" not in clause(gate)
        cells = gate_words(gate)
        assert (cells["limit"] == "–") is (gate.kind in {"burn_rate", "own_history"}), cells
        assert (cells["band"] == "–") is (gate.kind == "own_history"), cells
        assert "–" not in (cells["canary"], cells["baseline"], cells["difference"])
        if gate.low is not None and gate.high is not None:
            assert gate.estimate is not None
            assert gate.low <= gate.estimate <= gate.high
        assert (gate.low is None and gate.high is None) is (gate.kind == "own_history")


def test_a_latency_objective_takes_back_a_canary_that_misses_it_and_says_by_how_much() -> None:
    shop = Shop(GOAL, FIVE_MINUTES)
    shop.release()
    shop.serve(4, canary=200, baseline=400, slower=1.6)
    assert "rollback.started" in shop.world.types()
    gate = shop.gate("fast")
    assert (gate.word, gate.baseline.value) == (Word.BREACH, pytest.approx(0.05))
    assert re.fullmatch(
        r"fast 1[0-9] % of requests over 200 ms \(at least [5-9].\d %, rolls back above 5.0 %; its buckets have edges"
        r" at 19\d ms and 20\d ms, none between\): breach",
        explained(shop, "fast"),
    )


def test_a_canary_within_its_latency_objective_passes() -> None:
    shop = Shop(GOAL, FIVE_MINUTES)
    shop.release()
    shop.serve(12, canary=400, baseline=800)
    assert shop.gate("fast").word is Word.PASSED
    assert "stage.passed" in shop.world.types()


def test_without_a_control_group_the_past_advises_and_stops_nothing() -> None:
    shop = Shop(ALONE, FIVE_MINUTES)
    shop.register()
    shop.serve(PAST, baseline=800)
    shop.release()
    shop.serve(10, canary=800, slower=1.6)
    gate = shop.gate("past")
    assert (gate.word, gate_word(gate)) == (Word.BREACH, "advice")
    text = explained(shop, "past")
    assert re.match(r"past 2\d\d ms \(\+[56]\d %\) where", text)
    assert "where the service's own past says" in text
    assert "unlike its past, alarm " in text
    assert text.endswith("it only advises")
    assert shop.gate("failing").word is not Word.BREACH
    assert shop.world.types("rollout.held") == shop.world.types("rollback.started") == []


def test_a_service_that_stays_like_its_past_raises_no_alarm() -> None:
    shop = Shop(ALONE, FIVE_MINUTES)
    shop.register()
    shop.serve(PAST, baseline=800)
    shop.release()
    shop.serve(20, canary=800)
    assert shop.gate("past").word is Word.PASSED
    assert "like its past" in explained(shop, "past")
    assert "rollout.completed" in shop.world.types()


def test_a_past_that_is_too_short_is_no_data_and_says_how_long_it_takes() -> None:
    shop = Shop(ALONE, FIVE_MINUTES)
    shop.register()
    shop.serve(30, baseline=800)
    shop.release()
    shop.serve(4, canary=800)
    gate = shop.gate("past")
    assert gate.no_data is NoDataReason.TOO_FEW_SAMPLES
    assert gate.windows_needed is not None
    assert 160 <= gate.windows_needed <= 180
    assert f"of its own past, which takes about {gate.windows_needed} windows more" in explained(shop, "past")


def test_the_alarm_of_one_rollout_does_not_ring_in_the_next() -> None:
    shop = Shop(ALONE, FIVE_MINUTES)
    shop.register()
    shop.serve(PAST, baseline=800)
    shop.release()
    shop.serve(10, canary=800, slower=1.6)
    assert shop.gate("past").word is Word.BREACH
    shop.serve(40, canary=800)
    assert "rollout.completed" in shop.world.types()
    shop.world.publish("deploys", next_deploy(shop))
    shop.world.settle()
    shop.serve(3, canary=800)
    assert shop.gate("past").detail["alarm"] < 100


def next_deploy(shop: Shop) -> object:
    return deploy(shop.plan, version="3", number=2).model_copy(update={"time": shop.now})


BURNING = """\
windows: {length: 10s}
gates:
  budget: {kind: burn_rate, metric: http.server.request.duration, bad: {http.response.status_code: "5*"}, objective: 1%}
stages:
  - {name: canary, exposure: 25%, bake: {min: 300, max: 600}}
"""


@pytest.mark.parametrize(
    ("exports", "widths"),
    [([(10.0, 80)], {10.0}), ([(60.0, 15)], {60.0}), ([(10.0, 15), (60.0, 12)], {10.0, 60.0})],
    ids=["as planned", "widened", "widened half-way"],
)
def test_a_burn_counts_minutes_and_not_windows(exports: list[tuple[float, int]], widths: set[float]) -> None:
    shop = Shop(BURNING, exports[0][0])
    shop.serve(5, baseline=60)
    shop.release()
    begun = shop.second
    for every, count in exports:
        shop.every = every
        requests = round(2 * every)
        shop.serve(count, canary=requests, baseline=3 * requests, errors=0.3)
    assert widths <= {window.seconds for window in shop.target.windows}
    held = next(event for event in shop.verdicts if event.word is Word.BREACH)
    lived = held.window_end.timestamp() - shop.target.began - begun
    assert 300 <= lived <= 300 + 2 * max(widths), "the short span is five minutes of the canary's life"
    detail = held.gates[0].detail
    assert detail["burn_300s"] == pytest.approx(30, rel=0.3)
    assert "rollout.held" in shop.world.types()
