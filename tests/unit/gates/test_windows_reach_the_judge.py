"""What a window says beside its measures reaches the judge: requests, resets, stragglers, doubts."""

from typing import Any

import pytest

from penstock.events import Cohort, Doubt, StageJudged, WindowClosed
from penstock.explain import explain_gate, explain_verdict
from penstock.plan import load_plan
from services.gate_evaluation.specs import judge_window
from tests.support.pipeline import Pipeline
from tests.support.plans import SHORT, TARGET
from tests.support.slice import deploy, pipeline
from tests.support.windows import moment, window

BY_REQUEST = SHORT.replace("gates:\n", "cohorts: {assigned_by: request}\ngates:\n", 1)
BY_VERSION = SHORT.replace("gates:\n", "cohorts: {by: service_version}\ngates:\n", 1)


def changed(number: int, without: tuple[str, ...] = (), canary: int = 20, **fields: Any) -> WindowClosed:
    """Return a window whose canary lacks the measures of some gates."""
    made = window(TARGET, number, moment(), canary=canary)
    measures = {c: {g: m for g, m in found.items() if g not in without or c is not Cohort.CANARY}
                for c, found in made.measures.items()}  # fmt: skip
    return made.model_copy(update={"measures": {c: found for c, found in measures.items() if found}, **fields})


def judged(plan: str, *windows: WindowClosed) -> tuple[Pipeline, list[StageJudged]]:
    world = pipeline()
    world.publish("deploys", deploy(plan))
    world.settle()
    for each in windows:
        world.close_window(each)
    world.settle()
    return world, [event for event in world.said if isinstance(event, StageJudged)]


@pytest.mark.parametrize(("plan", "passes"), [(SHORT, True), (BY_REQUEST, False)])
def test_a_wrong_share_of_requests_keeps_a_pass_back_where_requests_are_assigned(plan: str, passes: bool) -> None:
    # Half of the requests, where a quarter was asked for.
    world, verdicts = judged(plan, *(window(TARGET, n, moment(), canary=60, baseline=60) for n in range(40)))
    assert ("stage.passed" in world.types()) is passes
    assert ("rollback.started" in world.types()) is False
    assert any("traffic_split" in verdict.flags for verdict in verdicts) is not passes


def test_the_right_share_of_requests_passes() -> None:
    shares = [(60, 180)] * 20 + [(60, 60)] * 40
    windows = [window(TARGET, n, moment(), canary=c, baseline=b) for n, (c, b) in enumerate(shares)]
    world, verdicts = judged(BY_REQUEST, *windows)
    assert "stage.passed" in world.types()
    # The second stage asks for half of them, and got a quarter in its first windows: that is told, too.
    assert not any("traffic_split" in verdict.flags for verdict in verdicts if verdict.stage == "canary")
    assert any("traffic_split" in verdict.flags for verdict in verdicts if verdict.stage == "half")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "telemetry_outage"),
        ({"stragglers": 1}, "late_data"),
        ({"resets": 1, "reset_gates": ("p99",)}, "too_few_samples"),
    ],
)
def test_a_gate_that_is_absent_is_told_by_its_reason_and_the_others_are_judged(
    fields: dict[str, Any], reason: str
) -> None:
    full = [changed(number) for number in range(3)]
    _, verdicts = judged(SHORT, *full, changed(3, without=("p99",), **fields))
    gates = {gate.gate: gate for gate in verdicts[-1].gates}
    assert gates["p99"].no_data == reason
    assert gates["errors"].no_data is None


def test_a_reset_of_one_series_among_others_leaves_the_gate_judged_and_is_told() -> None:
    _, verdicts = judged(SHORT, *(changed(n, resets=1, reset_gates=("p99",)) for n in range(4)))
    assert all(gate.no_data is None for gate in verdicts[-1].gates)
    assert "reset" in verdicts[-1].flags
    assert "counters were reset" in explain_verdict(verdicts[-1].model_dump(mode="json"))[0]


def test_stragglers_do_not_blind_the_gates_to_a_crash() -> None:
    # A crashing canary leaves a source behind with every start: its windows are judged all the same.
    crash = [window(TARGET, n, moment(), canary_errors=0.8).model_copy(update={"stragglers": 3}) for n in range(6)]
    world, verdicts = judged(SHORT, *crash)
    assert "rollback.started" in world.types()
    assert "late" in verdicts[0].flags


def test_a_variant_that_no_request_had_is_no_traffic_and_an_instance_that_is_silent_an_outage() -> None:
    quiet = changed(3, canary=0)
    assert Cohort.CANARY not in quiet.measures
    idle, gone = (judge_window(load_plan(text), quiet).canary for text in (SHORT, BY_VERSION))
    assert idle is not None
    assert idle.requests == 0.0
    assert gone is None
    full = [changed(number) for number in range(3)]
    reasons = [judged(text, *full, quiet)[1][-1].gates[0].no_data for text in (SHORT, BY_VERSION)]
    assert reasons == ["no_traffic", "telemetry_outage"]


def test_a_doubt_is_told_with_the_gate_that_it_leaves_unmeasured() -> None:
    doubts = {"p99": Doubt.DEFAULT_BUCKETS, "errors": Doubt.BAD_NEVER_SEEN}
    _, verdicts = judged(SHORT, *(changed(n, without=("p99",), doubts=doubts) for n in range(4)))
    gates = {gate.gate: gate.model_dump(mode="json", exclude_none=True) for gate in verdicts[-1].gates}
    assert explain_gate(gates["p99"]) == (
        "p99: no data, the SDK's default bounds cannot show this quantile; use exponential histograms"
    )
    assert "no bad event has ever been seen" in explain_gate(gates["errors"])


def test_measures_that_cannot_be_true_are_not_measured() -> None:
    impossible = changed(3)
    errors = impossible.measures[Cohort.CANARY]["errors"].model_copy(update={"events": 1e6})
    measures = {**impossible.measures, Cohort.CANARY: {**impossible.measures[Cohort.CANARY], "errors": errors}}
    world, verdicts = judged(
        SHORT, *(changed(n) for n in range(3)), impossible.model_copy(update={"measures": measures})
    )
    assert {gate.no_data for gate in verdicts[-1].gates} == {"telemetry_outage"}
    assert "rollback.started" not in world.types()
