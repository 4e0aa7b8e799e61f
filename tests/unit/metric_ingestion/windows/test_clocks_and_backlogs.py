"""Clocks that are wrong, sources that restart or arrive in bulk, late series: what was served is counted."""

import pytest

from penstock.events import Cohort, Doubt
from services.metric_ingestion.selection.select import Selection
from tests.support.metrics.otlp import CUMULATIVE, SECOND, Export, request, variant
from tests.support.metrics.target import PLAN, Target, totals

ON = variant("on")


def counted(target: Target, cohort: Cohort = Cohort.CANARY) -> float:
    return sum(total or 0 for total in totals(target.windows, cohort))


def cumulative(target: Target, second: float, start: float, value: int, instance: str = "shop-1", **more: str) -> None:
    """Export one cumulative series."""
    export = target.new(second, instance)
    export.start = target.at(start) if start else 0
    target.export(second, export.histogram((value, 0, 0), variant("on", **more), temporality=CUMULATIVE))


@pytest.mark.parametrize("ahead", [1.5, 30, 540])
def test_a_clock_ahead_is_taken_out_and_shown_and_closes_nothing_early(ahead: float) -> None:
    target = Target()
    for second in range(20):
        target.traffic(second + 0.3, canary=2, instance="right")
        target.export(second + 0.5, target.requests(second + 0.5 + ahead, canary=3, instance="ahead"))
    assert len(target.windows) <= 18
    target.clock(30)
    assert set(totals(target.windows[:20], Cohort.CANARY)) == {5}
    assert target.windows[10].skew == {"ahead": pytest.approx(ahead, abs=0.1)}


def test_a_clock_behind_is_taken_out_once_it_is_known_to_be_steady() -> None:
    target = Target()
    for second in range(30):
        target.traffic(second + 0.3, canary=2, instance="right")
        target.export(second + 0.5 - 300, target.requests(second + 0.5 - 300, canary=3, instance="behind"), late=300)
    target.clock(40)
    assert totals(target.windows[10:25], Cohort.CANARY) == [5] * 15
    assert target.windows[20].skew == {"behind": pytest.approx(-300, abs=0.1)}


@pytest.mark.parametrize(("at", "reason"), [(1.0, "behind"), (-7300.0, "behind"), (700.0, "ahead")])
def test_times_far_off_get_an_answer_and_are_counted_in_the_window(at: float, reason: str) -> None:
    target = Target()
    time = SECOND if at == 1.0 else target.at(at)
    export = Export(time, time - 1).histogram((4, 0, 0), ON)
    selection: Selection = target.selector.select(request(export), target.at(0.5))
    assert selection.rejected == 1
    assert "clock of its source" in selection.problems[0]
    for _, frame in selection.frames:
        target.state.add_frame(frame)
    target.clock(4)
    assert target.windows[0].dropped == {reason: 1}


def test_a_backlog_of_half_a_minute_in_any_order_loses_nothing() -> None:
    target = Target(lateness=40 * SECOND)
    seconds = [number + 0.5 for number in range(32)]
    for second in [*seconds[::2], *seconds[1::2], *seconds]:
        target.export(32.5, target.requests(second, canary=7))
    target.clock(100)
    assert totals(target.windows[:32], Cohort.CANARY) == [7] * 32


def test_windows_wait_for_a_door_that_has_older_samples_unread() -> None:
    target = Target()
    door = {"door": "otlp", "low": target.at(0.2)}
    for second in range(6):
        target.export(second + 0.5, target.requests(second + 0.5, canary=1), **door)
    target.clock(30)
    assert target.windows == []
    for second in range(6):
        target.export(
            6, target.requests(second + 0.7, canary=2, instance="backlog"), door="otlp", low=target.at(second)
        )
    target.export(6, target.requests(6.5, canary=0), door="otlp", low=0)
    target.clock(9)
    assert totals(target.windows[:6], Cohort.CANARY) == [3] * 6


def test_a_door_that_is_never_heard_of_again_does_not_hold_windows_up_without_end() -> None:
    target = Target()
    target.export(0.5, target.requests(0.5), door="gone", low=target.at(0.2))
    for second in range(1, 100):
        target.traffic(second + 0.5)
    assert len(target.windows) > 30


def test_a_restart_loses_nothing_and_a_series_that_begins_in_sight_counts_whole() -> None:
    target = Target()
    cumulative(target, 0.5, -100, 70_000)
    cumulative(target, 1.5, -100, 70_010)
    cumulative(target, 3.5, 2.0, 9)
    cumulative(target, 4.5, 2.0, 14)
    cumulative(target, 5.5, 4.9, 3, instance="shop-2")
    target.clock(20)
    assert counted(target) == 10 + 9 + 5 + 3


def test_a_first_point_at_its_own_start_has_an_unknown_start_and_is_a_baseline() -> None:
    target = Target()
    cumulative(target, 2.5, 2.5, 70_000)
    cumulative(target, 3.5, 2.5, 70_004)
    target.clock(20)
    assert counted(target) == 4


@pytest.mark.parametrize("start_of_late", [None, 5.0])
def test_a_late_series_counts_whole_with_the_start_of_its_process_or_of_its_own(start_of_late: float | None) -> None:
    """Go, Java and .NET give it the start of the process, Python and JavaScript the time of its first value."""
    target = Target()
    for second in range(10):
        cumulative(target, second + 0.5, -100, 1000 + second)
        if second >= 6:
            cumulative(target, second + 0.5, start_of_late or -100, 30 + second, **{"http.response.status_code": "503"})
    target.clock(30)
    assert counted(target) == 9 + 39


def test_a_series_that_another_process_had_for_long_does_not_count_whole() -> None:
    target = Target()
    for second in range(10):
        cumulative(target, second + 0.5, -100, 1000 + second)
        if second >= 6:
            cumulative(target, second + 0.5, -500, 80_000 + second, route="rare")
    target.clock(30)
    assert counted(target) == 9 + 3


def test_two_writers_of_one_identity_are_two_series() -> None:
    target = Target()
    for second in range(10):
        cumulative(target, second + 0.3, -100, 80_000 + 3 * second)
        cumulative(target, second + 0.6, -50, 100 + second)
    target.clock(30)
    assert counted(target) == 9 * 4


def test_two_writers_that_cannot_be_told_apart_leave_the_gates_without_data() -> None:
    target = Target()
    for second in range(10):
        cumulative(target, second + 0.3, 0, 80_000 + 3 * second)
        cumulative(target, second + 0.6, 0, 100 + second)
    target.clock(14)
    assert all(window.doubts["errors"] is Doubt.TWO_WRITERS for window in target.windows[1:10])
    assert counted(target) <= 101


def test_a_crash_looping_canary_is_measured_as_it_is_in_deltas() -> None:
    cumulatives, deltas = Target(), Target()
    for life in range(10):
        for export in range(3):
            second = 4 * life + export + 1.5
            cumulative(cumulatives, second, 4 * life + 0.6, 5 * (export + 1))
            deltas.export(second, deltas.new(second).histogram((5, 0, 0), ON))
    cumulatives.clock(60)
    deltas.clock(60)
    assert totals(cumulatives.windows, Cohort.CANARY) == totals(deltas.windows, Cohort.CANARY)


def test_a_gate_that_is_new_in_a_plan_does_not_count_what_its_metric_counted_before() -> None:
    target = Target()
    cumulative(target, 10.5, 5, 1000)
    target.adopt(PLAN.replace("metric: orders", "metric: carts"), "other", 20)
    target.export(
        21.5, Export(target.at(21.5), target.at(5)).counter("carts", 500, ON, CUMULATIVE), target.requests(21.5)
    )
    target.export(
        22.5, Export(target.at(22.5), target.at(5)).counter("carts", 502, ON, CUMULATIVE), target.requests(22.5)
    )
    target.clock(30)
    values = [window.measures.get(Cohort.CANARY, {}).get("orders") for window in target.windows]
    assert [measure.value for measure in values if measure is not None] == [2]  # type: ignore[union-attr]
