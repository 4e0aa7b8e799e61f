"""What ingestion tells of a window beside its measures reaches the verdict: requests, lateness, resets, doubts."""

from typing import Any

import pytest

from penstock.events import Cohort, Doubt, Ratio, StageJudged, Word
from penstock.events.verdicts import NoDataReason
from penstock.plan import load_plan
from penstock.wording.verdicts import explain_gate
from services.gate_evaluation.judge import Window
from services.gate_evaluation.windows import admitted, is_late, judge_window
from tests.support.judge.telling import HALVES, judged, rolled_out, told
from tests.support.metrics.windows import moment, window
from tests.support.plans import SHORT, TARGET

BY_REQUEST = SHORT.replace("windows:", "cohorts: {assigned_by: request}\nwindows:", 1)
BY_VERSION = SHORT.replace("windows:", "cohorts: {by: service_version}\nwindows:", 1)


def reasons(verdict: StageJudged) -> dict[str, NoDataReason | None]:
    return {gate.gate: gate.no_data for gate in verdict.gates}


def without(measures: Any, cohort: Cohort, *gates: str) -> dict[Cohort, Any]:
    kept = {name: value for name, value in measures[cohort].items() if name not in gates}
    return {**measures, cohort: kept}


def test_a_wrong_share_of_requests_keeps_a_pass_back_where_requests_are_assigned() -> None:
    wrong = {"requests": {Cohort.CANARY: 250.0, Cohort.BASELINE: 150.0, **HALVES}}
    verdicts = judged(lambda _: wrong, BY_REQUEST)
    assert "traffic_split" in verdicts[-1].flags
    assert not any(verdict.word is Word.PASSED for verdict in verdicts)
    assert any(verdict.word is Word.PASSED for verdict in judged(lambda _: {}, BY_REQUEST))


def test_a_share_of_users_or_of_an_audience_is_never_checked_against_the_exposure() -> None:
    wrong = {"requests": {Cohort.CANARY: 250.0, Cohort.BASELINE: 150.0, **HALVES}}
    audience = 'audience: {all_of: [{attribute: email, ends_with: "@x.org"}]}, '
    for plan in (SHORT, BY_REQUEST.replace("exposure: 25%,", f"exposure: 25%, {audience}")):
        verdicts = judged(lambda _: wrong, plan, 10)
        assert any(verdict.word is Word.PASSED for verdict in verdicts)
        assert not any("traffic_split" in verdict.flags for verdict in verdicts)


def test_a_reset_counter_leaves_out_its_own_gates_and_no_other() -> None:
    verdict = judged(lambda number: {"resets": 1, "reset_gates": {"errors": 1}} if number == 3 else {})[3]
    assert reasons(verdict) == {"errors": NoDataReason.TOO_FEW_SAMPLES, "p99": None}
    assert "reset" in verdict.flags


def test_a_window_without_a_third_of_its_sources_is_late_and_counts_for_nothing() -> None:
    late = {"unheard": {Cohort.BASELINE: 2}, "late": 3}
    verdicts = judged(lambda number: late if number == 4 else {}, windows=6)
    assert set(reasons(verdicts[4]).values()) == {NoDataReason.LATE_DATA}
    assert [verdict.judged for verdict in verdicts[1:]] == [1, 2, 3, 3, 4]


def test_stragglers_alone_make_no_window_late() -> None:
    assert not is_late(told(0, late=40))
    assert not is_late(told(0, sources={Cohort.BASELINE: 50}, unheard={Cohort.BASELINE: 4}))
    assert is_late(told(0, sources={Cohort.BASELINE: 30}, unheard={Cohort.BASELINE: 4}))
    assert is_late(told(0, unheard={Cohort.CANARY: 1}))


def test_a_window_that_measured_nothing_is_an_outage_and_not_late() -> None:
    silent = {"measures": {}, "requests": {}, "unheard": {Cohort.BASELINE: 6}}
    verdict = judged(lambda number: silent if number == 2 else {}, windows=3)[2]
    assert set(reasons(verdict).values()) == {NoDataReason.TELEMETRY_OUTAGE}


@pytest.mark.parametrize(
    "excuse",
    [
        {"unheard": {Cohort.CANARY: 1}},
        {"resets": 1, "reset_gates": {"errors": 1, "p99": 1}},
        {"unheard": {Cohort.CANARY: 1}, "resets": 1, "reset_gates": {"errors": 1}},
    ],
)
def test_instances_that_keep_crashing_cannot_blind_the_guards(excuse: dict[str, Any]) -> None:
    verdicts = judged(lambda number: excuse if number else {}, windows=13)
    blind = [verdict.word is Word.NO_DATA for verdict in verdicts]
    assert blind[1:] == [True] * 3 + [False] * 9


def test_an_excuse_is_earned_back_by_ten_whole_windows() -> None:
    owed, left_out = 0, []
    for number in range(30):
        late = number < 3 or number >= 13
        kept, owed = admitted(Window(late=late), owed, proven=False)
        left_out.append(late and kept.late)
    assert left_out[:3] == [True] * 3
    assert left_out[13:] == [True, *[False] * 10, True, *[False] * 5]


def test_proven_lateness_neither_costs_an_excuse_nor_ends_with_them() -> None:
    late = Window(late=True)
    assert admitted(late, 0, proven=True) == (late, 0)
    kept, _ = admitted(Window(late=True, resets=frozenset({"errors"})), 30, proven=True)
    assert (kept.late, kept.resets) == (True, frozenset())


def test_sources_that_are_proven_slow_are_waited_for_as_long_as_it_takes() -> None:
    late = {"unheard": {Cohort.BASELINE: 2}, "late": 1}
    world = rolled_out(lambda _: late, windows=12)
    held = next(event for event in world.said if event.type == "rollout.held")
    assert {gate.no_data for gate in held.ground.gates} == {NoDataReason.LATE_DATA}  # type: ignore[attr-defined]


def test_a_canary_that_no_request_chose_is_without_traffic_and_not_without_telemetry() -> None:
    idle = {"requests": {Cohort.BASELINE: 300.0, **HALVES}}

    def nobody(number: int) -> dict[str, Any]:
        measures = {name: found for name, found in told(number).measures.items() if name is not Cohort.CANARY}
        return {**idle, "measures": measures}

    assert set(reasons(judged(nobody, windows=1)[0]).values()) == {NoDataReason.NO_TRAFFIC}
    by_version = judged(nobody, BY_VERSION, windows=1)[0]
    assert set(reasons(by_version).values()) == {NoDataReason.TELEMETRY_OUTAGE}


def test_a_canary_whose_instances_have_all_died_is_taken_back() -> None:
    def crash(number: int) -> dict[str, Any]:
        if number < 4:
            return {}
        measures = {name: found for name, found in told(number).measures.items() if name is not Cohort.CANARY}
        return {
            "measures": measures,
            "requests": {Cohort.BASELINE: 300.0},
            "sources": {Cohort.CANARY: 0, Cohort.BASELINE: 6},
        }

    world = rolled_out(crash, BY_VERSION, windows=8)
    verdicts = [event for event in world.said if isinstance(event, StageJudged)]
    assert [verdict.word for verdict in verdicts[4:6]] == [Word.NO_DATA, Word.BREACH]
    assert "catastrophe" in verdicts[5].flags
    assert "rollback.started" in world.types()


@pytest.mark.parametrize(
    ("plan", "sources", "measured_first"),
    [
        (SHORT, {Cohort.CANARY: 0, Cohort.BASELINE: 6}, True),
        (BY_VERSION, {Cohort.BASELINE: 6}, True),
        (BY_VERSION, {Cohort.CANARY: 0, Cohort.BASELINE: 0}, True),
        (BY_VERSION, {Cohort.CANARY: 0, Cohort.BASELINE: 6}, False),
    ],
)
def test_silence_that_is_not_surely_the_canarys_death_rolls_nothing_back(
    plan: str, sources: dict[Cohort, int], measured_first: bool
) -> None:
    def silent(number: int) -> dict[str, Any]:
        if measured_first and number < 4:
            return {}
        measures = {name: found for name, found in told(number).measures.items() if name is not Cohort.CANARY}
        return {"measures": measures, "requests": {Cohort.BASELINE: 300.0}, "sources": sources}

    assert "rollback.started" not in rolled_out(silent, plan, windows=20).types()


def test_a_gate_in_doubt_says_what_is_wrong_with_its_telemetry() -> None:
    def buckets(number: int) -> dict[str, Any]:
        measures = told(number).measures
        for cohort in measures:
            measures = without(measures, cohort, "p99")
        return {"measures": measures, "doubts": {"p99": Doubt.DEFAULT_BUCKETS}}

    verdict = judged(buckets, windows=1)[0]
    gate = next(gate for gate in verdict.gates if gate.gate == "p99")
    assert (gate.no_data, gate.doubt) == (NoDataReason.METRIC_NEVER_SEEN, Doubt.DEFAULT_BUCKETS)
    assert "default buckets" in explain_gate(gate.model_dump(mode="json", exclude_none=True))


def test_errors_that_were_never_seen_are_a_warning_beside_the_verdict() -> None:
    verdict = judged(lambda _: {"doubts": {"errors": Doubt.BAD_NEVER_SEEN}}, windows=1)[0]
    gate = next(gate for gate in verdict.gates if gate.gate == "errors")
    assert (gate.no_data, gate.doubt) == (None, Doubt.BAD_NEVER_SEEN)
    assert "no bad event has ever been reported" in explain_gate(gate.model_dump(mode="json", exclude_none=True))


def test_a_measure_that_contradicts_itself_leaves_the_gates_beside_it_judged() -> None:
    def untrue(number: int) -> dict[str, Any]:
        measures = told(number).measures
        return {
            "measures": {**measures, Cohort.CANARY: {**measures[Cohort.CANARY], "errors": Ratio(events=9, total=3)}}
        }

    verdict = judged(untrue, windows=2)[1]
    assert reasons(verdict) == {"errors": NoDataReason.TELEMETRY_OUTAGE, "p99": None}


def test_an_untrue_half_of_the_fleet_teaches_nothing_and_leaves_the_comparison_alone() -> None:
    measures = told(0).measures
    spoiled = told(0, measures={**measures, Cohort.A: {**measures[Cohort.A], "errors": Ratio(events=9, total=3)}})
    read = judge_window(load_plan(SHORT), spoiled)
    assert read.canary is not None
    assert read.a is not None
    assert (len(read.canary.measures), len(read.a.measures)) == (2, 1)


def test_a_window_of_an_ingestion_that_tells_less_is_judged_as_before() -> None:
    plain = judge_window(load_plan(SHORT), window(TARGET, 0, moment()))
    assert plain.canary is not None
    assert (plain.late, plain.resets, plain.canary.requests, plain.canary.live) == (False, frozenset(), None, None)
