"""Windows of one target: what closes them, what they tell, what was late, how long they are."""

from itertools import pairwise

import msgspec

from penstock.events import (
    Closing,
    Cohort,
    Count,
    Doubt,
    ExplicitHistogram,
    ExponentialHistogram,
    Gauge,
    Halves,
    Ratio,
    WindowsRefused,
)
from penstock.plan import load_plan
from services.metric_ingestion.windows.closing import apply_document, document_for_plan
from services.metric_ingestion.windows.target import TargetState
from tests.support.metrics.otlp import CUMULATIVE, SECOND, Export, variant
from tests.support.metrics.target import LATENESS, PLAN, Target, totals


def test_a_window_stays_open_for_the_lateness_though_all_sources_have_reported_past_its_end() -> None:
    target = Target()
    target.traffic(0.5, canary=1, baseline=9)
    assert target.windows == []
    target.traffic(1.5)
    target.clock(2.9)
    assert target.windows == []
    target.clock(3)
    (window,) = target.windows
    assert (window.start.timestamp(), window.end.timestamp()) == (Target.began, Target.began + 1)
    assert window.closed_by is Closing.CLOCK
    assert window.measures[Cohort.CANARY]["errors"] == Ratio(events=0, total=1)
    assert window.measures[Cohort.BASELINE]["errors"] == Ratio(events=0, total=9)
    assert window.split == 0.1
    assert window.first_sample_at is not None
    assert window.first_sample_at.timestamp() == Target.began + 0.5


def test_a_window_waits_for_every_live_source_or_for_the_lateness_of_event_time() -> None:
    target = Target()
    for second in (0.2, 0.4):
        target.traffic(second, instance="shop-1")
        target.traffic(second, instance="shop-2")
    target.traffic(1.5, instance="shop-1")
    target.traffic(2.5, instance="shop-1")
    assert target.windows == []
    target.traffic(3.1, instance="shop-1")
    assert [window.closed_by for window in target.windows] == [Closing.EVENT_TIME]


def test_a_source_that_died_holds_nothing_up_once_it_has_missed_three_reports() -> None:
    target = Target()
    for tenth in range(1, 80):
        target.traffic(tenth / 10, instance="shop-1")
        if tenth < 20:
            target.export(tenth / 10, target.requests(tenth / 10, instance="shop-2"), late=1.9)
    assert len(target.windows) == 5


def test_silence_is_told_window_by_window_by_the_clock() -> None:
    target = Target()
    target.clock(2.9)
    assert target.windows == []
    target.clock(5.0)
    assert [(w.seconds, w.closed_by, w.measures) for w in target.windows] == [(1.0, Closing.CLOCK, {})] * 3


def test_a_long_absence_is_told_as_one_long_window() -> None:
    target = Target()
    target.clock(3602.0)
    assert [window.seconds for window in target.windows] == [3600.0]


def test_a_long_absence_ends_where_points_begin() -> None:
    target = Target()
    target.traffic(3000.5)
    target.traffic(3001.5)
    target.clock(3003)
    assert target.windows[0].seconds == 3000 - LATENESS / SECOND
    assert target.windows[-1].start.timestamp() == Target.began + 3000
    assert totals(target.windows, Cohort.CANARY) == [None, None, None, 1]


def test_nothing_closes_without_a_plan() -> None:
    target = Target()
    target.state.document = {}
    target.traffic(0.5)
    target.traffic(5.5)
    target.clock(100)
    assert target.told == []


def test_points_that_came_before_their_plan_was_put_in_force_are_in_its_windows() -> None:
    target = Target()
    document, target.state.document = target.state.document, {}
    target.traffic(0.5, canary=3)
    apply_document(target.state, document, ())
    target.traffic(1.5)
    target.clock(3)
    assert totals(target.windows, Cohort.CANARY) == [3]


def test_a_late_point_is_counted_and_left_out_and_makes_the_next_closings_patient() -> None:
    target = Target()
    target.traffic(0.5)
    target.traffic(1.5)
    target.clock(3)
    target.export(0.9, target.requests(0.9, canary=7, instance="shop-2"), late=0.7)
    target.traffic(2.5)
    assert len(target.windows) == 1
    target.clock(4.0)
    assert totals(target.windows, Cohort.CANARY) == [1, None]
    assert [window.late for window in target.windows] == [0, 2]
    assert [window.dropped for window in target.windows] == [{}, {"late": 2}]
    assert target.windows[1].doubts["errors"] is Doubt.POINTS_DROPPED


def test_the_same_export_again_counts_once() -> None:
    target = Target()
    again = target.requests(0.5, canary=2)
    target.export(0.5, again)
    target.export(0.6, again)
    target.traffic(1.5)
    target.clock(3)
    assert totals(target.windows, Cohort.CANARY) == [2]


def test_a_source_whose_clock_is_ahead_does_not_close_the_windows_of_the_others() -> None:
    target = Target()
    target.traffic(0.2, instance="shop-1")
    target.traffic(0.4, instance="shop-1")
    target.export(0.5, target.requests(300.0, instance="ahead"))
    target.traffic(0.9, instance="shop-1")
    assert target.windows == []


def test_errors_are_told_by_the_attributes_that_the_plan_calls_bad() -> None:
    target = Target()
    target.export(
        0.5,
        target.requests(0.5, canary=3).histogram((2, 0, 0), variant("on", **{"http.response.status_code": 503})),
    )
    target.traffic(1.5)
    target.clock(3)
    assert target.windows[0].measures[Cohort.CANARY]["errors"] == Ratio(events=2, total=5)
    assert target.windows[0].doubts == {}


def test_a_bad_attribute_that_was_never_seen_is_said() -> None:
    target = Target()
    target.traffic(0.5)
    target.traffic(1.5)
    target.clock(3)
    assert target.windows[0].doubts == {"errors": Doubt.BAD_NEVER_SEEN}
    assert "errors" in target.windows[0].measures[Cohort.CANARY]


def test_default_buckets_on_seconds_leave_the_quantile_unmeasured_and_say_so() -> None:
    target = Target()
    edges = (0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000)
    counts = (0, 9, *(0,) * 14)
    target.export(0.5, target.new(0.5).histogram(counts, variant("on"), bounds=edges))
    target.traffic(1.5)
    target.clock(3)
    window = target.windows[0]
    assert window.doubts["p99"] is Doubt.DEFAULT_BUCKETS
    assert "p99" not in window.measures[Cohort.CANARY]
    assert window.measures[Cohort.CANARY]["errors"] == Ratio(events=0, total=9)


def test_exponential_histograms_of_two_instances_meet_at_the_coarser_scale() -> None:
    target = Target()
    for instance, scale, offset in (("shop-1", 4, 16), ("shop-2", 3, 8)):
        export = target.new(0.5, instance).exponential((2, 2), variant("on"), scale=scale, offset=offset)
        target.export(0.5, export)
    target.clock(3)
    measure = target.windows[0].measures[Cohort.CANARY]["p99"]
    assert isinstance(measure, ExponentialHistogram)
    assert (measure.scale, measure.offset, measure.counts, measure.count) == (3, 8, (6, 2), 8)


def test_explicit_and_exponential_histograms_of_one_gate_are_not_mixed() -> None:
    target = Target()
    target.export(0.5, target.new(0.5, "shop-1").exponential((2,), variant("on")))
    target.export(0.5, target.new(0.5, "shop-2").histogram((2, 0, 0), variant("on")))
    target.clock(3.0)
    assert target.windows[0].doubts["p99"] is Doubt.MIXED_BUCKETS
    assert "p99" not in target.windows[0].measures[Cohort.CANARY]


def test_counts_are_told_per_share_of_the_traffic() -> None:
    target = Target()
    export = target.requests(0.5, canary=1, baseline=3)
    export.counter("orders", 5, variant("on")).counter("orders", 12, variant("off"))
    target.export(0.5, export)
    target.traffic(1.5)
    target.clock(3)
    assert target.windows[0].measures[Cohort.CANARY]["orders"] == Count(value=5, exposure=0.25)
    assert target.windows[0].measures[Cohort.BASELINE]["orders"] == Count(value=12, exposure=0.75)


def test_counts_without_traffic_are_in_doubt() -> None:
    target = Target()
    target.export(0.5, target.new(0.5).counter("orders", 5, variant("on")))
    target.traffic(1.5)
    target.clock(3)
    assert target.windows[0].doubts["orders"] is Doubt.NO_TRAFFIC
    assert target.windows[0].measures == {}


def test_a_gauge_tells_its_newest_value_of_every_instance() -> None:
    target = Target()
    for at, level in ((0.2, 9.0), (0.4, 3.0)):
        target.export(at, target.new(at, "shop-1").gauge("memory", level, variant("on")))
    target.export(0.3, target.new(0.3, "shop-2").gauge("memory", 4.0, variant("on")))
    target.clock(3.0)
    assert target.windows[0].measures[Cohort.CANARY]["memory"] == Gauge(count=2, sum=7.0, sumsq=25.0)


def test_cumulative_histograms_become_what_was_added() -> None:
    target = Target()
    for second, counts in ((0.5, (10, 0, 0)), (1.5, (13, 1, 0)), (2.5, (13, 1, 0))):
        export = Export(target.at(second), target.at(-100))
        target.export(second, export.histogram(counts, variant("on"), temporality=CUMULATIVE))
    target.clock(10)
    first, second, third, *_ = target.windows
    assert first.measures == {}
    measure = second.measures[Cohort.CANARY]["p99"]
    assert isinstance(measure, ExplicitHistogram)
    assert measure.counts == (3, 1, 0)
    assert third.measures[Cohort.CANARY]["errors"] == Ratio(events=0, total=0)


def test_a_counter_reset_is_counted_and_its_interval_left_out() -> None:
    target = Target()
    for second, value in ((0.5, 100), (1.5, 110), (2.5, 4)):
        export = Export(target.at(second), target.at(-100)).counter(
            "orders", value, variant("off"), temporality=CUMULATIVE
        )
        target.export(second, export, target.requests(second))
    target.clock(10)
    _, second_window, third, *_ = target.windows
    assert second_window.measures[Cohort.BASELINE]["orders"].value == 10  # type: ignore[union-attr]
    assert third.resets == 1
    assert "orders" not in third.measures[Cohort.BASELINE]


def test_two_instances_are_the_two_halves_of_the_baseline() -> None:
    target = Target()
    for second in (0.5, 1.5):
        target.traffic(second, baseline=10, instance="shop-1")
        target.traffic(second, baseline=20, instance="shop-2")
    target.clock(4.0)
    window = target.windows[1]
    assert window.halves is Halves.INSTANCES
    assert sorted(totals([window], Cohort.A) + totals([window], Cohort.B)) == [10, 20]  # type: ignore[type-var]


def test_the_halves_that_the_application_states_are_taken() -> None:
    target = Target()
    export = target.new(0.5)
    for half, count in (("a", 3), ("b", 5)):
        export.histogram((count, 0, 0), variant("off", **{"penstock.half": half}))
    target.export(0.5, export)
    target.traffic(1.5)
    target.clock(3)
    window = target.windows[0]
    assert window.halves is Halves.ATTRIBUTE
    assert (totals([window], Cohort.A), totals([window], Cohort.B)) == ([3], [5])
    assert totals([window], Cohort.BASELINE) == [8]


def test_a_single_instance_is_halved_by_turns_where_a_window_holds_several_exports() -> None:
    target = Target()
    for tenth in range(1, 12):
        target.traffic(tenth / 10)
    target.clock(3)
    window = target.windows[0]
    assert window.halves is Halves.TURNS
    assert totals([window], Cohort.A)[0] is not None
    assert totals([window], Cohort.B)[0] is not None


def test_one_export_a_window_of_one_instance_gives_no_halves() -> None:
    target = Target()
    target.traffic(0.5)
    target.traffic(1.5)
    target.clock(3)
    assert target.windows[0].halves is None
    assert Cohort.A not in target.windows[0].measures
    assert Cohort.B not in target.windows[0].measures


def test_windows_shorter_than_the_export_interval_are_widened_to_a_multiple() -> None:
    target = Target()
    for report in range(12):
        target.traffic(0.5 + 5 * report, covering=5)
    refused = [event for event in target.told if isinstance(event, WindowsRefused)]
    assert [(e.asked, e.export_interval, e.widened_to) for e in refused] == [(1.0, 5.0, 5.0)]
    assert {window.seconds for window in target.windows[-4:]} == {5.0}
    assert totals(target.windows[-4:], Cohort.CANARY) == [1] * 4
    ends = [(window.start, window.end) for window in target.windows]
    assert all(later[0] == earlier[1] for earlier, later in pairwise(ends))


def test_a_plan_that_forbids_widening_has_its_windows_refused() -> None:
    target = Target(PLAN.replace("{length: 1s}", "{length: 1s, widen: false}"))
    for report in range(12):
        target.traffic(0.5 + 5 * report, covering=5)
    refused = [event for event in target.told if isinstance(event, WindowsRefused)]
    assert [event.widened_to for event in refused] == [None]
    closed = len(target.windows)
    target.clock(500)
    assert len(target.windows) == closed


def test_an_idle_delta_source_does_not_widen_windows() -> None:
    target = Target()
    for second in (0.5, 30.5, 60.5, 90.5, 120.5, 121.5):
        target.traffic(second)
    assert not [event for event in target.told if isinstance(event, WindowsRefused)]


def test_a_new_plan_keeps_the_open_windows_and_asks_for_its_own_gates() -> None:
    target = Target()
    target.traffic(0.5, canary=3)
    plan = load_plan(PLAN.replace("  errors:", "  failures:"))
    apply_document(target.state, document_for_plan(target.state, plan, "other", target.at(0.6)), ())
    target.traffic(1.5)
    target.clock(3)
    assert target.windows[0].measures[Cohort.CANARY].keys() == {"p99"}


def test_a_state_survives_being_written_down() -> None:
    target = Target()
    for tenth in range(1, 25):
        target.traffic(tenth / 10)
        target.export(tenth / 10, target.new(tenth / 10).gauge("memory", 1.5, variant("on")))
    written = msgspec.msgpack.encode(target.state)
    assert msgspec.msgpack.decode(written, type=TargetState) == target.state
