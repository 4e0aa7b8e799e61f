"""One series: first sights, repeats, resets, points that overtook each other."""

import msgspec

from services.metric_ingestion.windows.frames import Temporality
from services.metric_ingestion.windows.series import Outcome, SeriesState, advance
from services.metric_ingestion.windows.values import Value
from tests.support.metrics.otlp import SECOND

CUMULATIVE, DELTA, LEVEL = Temporality.CUMULATIVE, Temporality.DELTA, Temporality.LEVEL

Point = tuple[int, int, Value]


def run(temporality: Temporality, *points: Point, whole: bool = False) -> list[tuple[Value | None, Outcome]]:
    """Return what (start, time, value) points add, one after the other."""
    state = SeriesState(0)
    return [advance(state, temporality, start, time, value, whole) for start, time, value in points]


def test_the_first_sight_of_a_cumulative_series_is_its_baseline_only() -> None:
    assert run(CUMULATIVE, (1, 10, 500), (1, 20, 507)) == [(None, Outcome.BASELINE), (7, Outcome.ADDED)]


def test_a_cumulative_series_that_began_in_sight_counts_whole() -> None:
    assert run(CUMULATIVE, (15, 20, 3), (15, 30, 5), whole=True) == [(3, Outcome.ADDED), (2, Outcome.ADDED)]


def test_an_equal_repeat_adds_zero_and_the_same_point_again_adds_nothing() -> None:
    found = run(CUMULATIVE, (1, 10, 5), (1, 20, 5), (1, 20, 5))
    assert found == [(None, Outcome.BASELINE), (0, Outcome.ADDED), (None, Outcome.REPEAT)]


def test_a_counter_that_goes_backwards_with_its_start_unchanged_leaves_its_interval_out() -> None:
    found = run(CUMULATIVE, (1, 10, 50), (1, 20, 3), (1, 30, 8))
    assert found == [(None, Outcome.BASELINE), (None, Outcome.RESET), (5, Outcome.ADDED)]


def test_a_counter_without_a_start_that_goes_backwards_counts_from_zero_and_is_a_reset() -> None:
    found = run(CUMULATIVE, (0, 10, 50), (0, 20, 3), (0, 30, 8), (0, 40, 12))
    assert found == [(None, Outcome.BASELINE), (3, Outcome.RESET), (5, Outcome.ADDED), (4, Outcome.ADDED)]


def test_a_restarted_process_counts_whole_whatever_its_value() -> None:
    found = run(CUMULATIVE, (1, 10, 50), (15, 20, 60), (15, 30, 61))
    assert found == [(None, Outcome.BASELINE), (60, Outcome.ADDED), (1, Outcome.ADDED)]


def test_two_writers_with_starts_of_their_own_are_two_series() -> None:
    points = [(1, 10, 80_000), (2, 11, 100), (1, 20, 80_010), (2, 21, 105), (1, 30, 80_020), (2, 31, 110)]
    assert [added for added, _ in run(CUMULATIVE, *points)] == [None, None, 10, 5, 10, 5]


def test_two_writers_that_cannot_be_told_apart_are_a_conflict_and_add_nothing_of_each_other() -> None:
    for start in (0, 1):
        points = [(start, 10 * number, 80_000 + number if number % 2 else 100 + number) for number in range(1, 20)]
        found = run(CUMULATIVE, *points)
        assert sum(added or 0 for added, _ in found) <= 102
        assert [outcome for _, outcome in found[2:]] == [Outcome.CONFLICT] * 17


def test_two_values_of_one_series_at_one_time_are_a_conflict() -> None:
    assert run(CUMULATIVE, (1, 10, 5), (1, 20, 7), (1, 20, 9))[-1] == (None, Outcome.CONFLICT)


def test_a_restart_that_outgrows_its_past_at_the_usual_pace_is_no_conflict() -> None:
    points = [(0, 10, 100), *((0, 20 + 10 * number, 20 * number + 5) for number in range(10))]
    assert Outcome.CONFLICT not in [outcome for _, outcome in run(CUMULATIVE, *points)]


def test_a_crash_loop_is_counted_as_it_is_in_deltas() -> None:
    starts = [(100 * life, 100 * life + 10 * export, 3 * export) for life in range(1, 60) for export in (1, 2, 3)]
    assert sum(added or 0 for added, _ in run(CUMULATIVE, *starts, whole=True)) == 59 * 9


def test_a_state_of_an_earlier_version_goes_on_counting() -> None:
    state = msgspec.msgpack.decode(msgspec.msgpack.encode([10, 50]), type=SeriesState)
    assert advance(state, CUMULATIVE, 1, 20, 53, False) == (3, Outcome.ADDED)
    state = msgspec.msgpack.decode(msgspec.msgpack.encode([10, 50]), type=SeriesState)
    assert advance(state, CUMULATIVE, 15, 20, 7, False) == (7, Outcome.ADDED)
    state = msgspec.msgpack.decode(msgspec.msgpack.encode([20, None, [10, 20]]), type=SeriesState)
    assert [advance(state, DELTA, 0, time, 3, False)[0] for time in (20, 30)] == [None, 3]


def test_a_cumulative_point_that_was_overtaken_is_covered_by_the_one_that_overtook_it() -> None:
    found = run(CUMULATIVE, (1, 10, 5), (1, 30, 9), (1, 20, 7))
    assert [added for added, _ in found] == [None, 4, None]


def test_a_delta_point_that_is_sent_again_counts_once() -> None:
    found = run(DELTA, (0, 10, 5), (10, 20, 3), (10, 20, 3), (0, 10, 5))
    assert [added for added, _ in found] == [5, 3, None, None]


def test_a_repeat_is_the_same_start_time_and_content() -> None:
    found = run(DELTA, (0, 10, 5), (0, 10, 6), (5, 10, 5), (0, 10, 5), (0, 10, 6))
    assert [added for added, _ in found] == [5, 6, 5, None, None]


def test_a_delta_point_that_was_overtaken_still_counts_once() -> None:
    found = run(DELTA, (0, 10, 5), (20, 30, 3), (10, 20, 7), (10, 20, 7))
    assert [added for added, _ in found] == [5, 3, 7, None]


def test_a_backlog_of_deltas_in_any_order_counts_once() -> None:
    backlog = [(time, time + SECOND, 1) for time in range(0, 40 * SECOND, SECOND)]
    assert sum(added or 0 for added, _ in run(DELTA, (41 * SECOND, 42 * SECOND, 1), *backlog, *backlog)) == 41


def test_a_delta_point_older_than_all_that_is_remembered_is_not_taken_for_a_repeat_in_silence() -> None:
    points = [(time, time + SECOND, 1) for time in range(100 * SECOND, 300 * SECOND, SECOND)]
    assert run(DELTA, *points, (1, 2, 1))[-1] == (None, Outcome.TOO_OLD)


def test_a_gauge_tells_its_value_and_old_values_are_passed_over() -> None:
    found = run(LEVEL, (0, 10, 5.0), (0, 5, 9.0), (0, 20, 4.0))
    assert [added for added, _ in found] == [5.0, None, 4.0]
