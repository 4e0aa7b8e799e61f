"""One series: first sights, repeats, resets, points that overtook each other."""

from services.metric_ingestion.windows.frames import Temporality
from services.metric_ingestion.windows.series import Outcome, SeriesState, advance
from services.metric_ingestion.windows.values import Value

CUMULATIVE, DELTA, LEVEL = Temporality.CUMULATIVE, Temporality.DELTA, Temporality.LEVEL

Point = tuple[int, int, Value]


def run(temporality: Temporality, *points: Point, since: int | None = None) -> list[tuple[Value | None, Outcome]]:
    """Return what (start, time, value) points add, one after the other."""
    state: SeriesState | None = None
    found = []
    for start, time, value in points:
        state, added, outcome = advance(state, temporality, start, time, value, since)
        found.append((added, outcome))
    return found


def test_the_first_sight_of_a_cumulative_series_is_its_baseline_only() -> None:
    assert run(CUMULATIVE, (1, 10, 500), (1, 20, 507)) == [(None, Outcome.BASELINE), (7, Outcome.ADDED)]


def test_a_cumulative_series_that_began_since_its_source_last_reported_counts_whole() -> None:
    assert run(CUMULATIVE, (15, 20, 3), (15, 30, 5), since=10) == [(3, Outcome.ADDED), (2, Outcome.ADDED)]
    assert run(CUMULATIVE, (5, 20, 3), since=10) == [(None, Outcome.BASELINE)]


def test_an_equal_repeat_adds_zero_and_the_same_point_again_adds_nothing() -> None:
    found = run(CUMULATIVE, (1, 10, 5), (1, 20, 5), (1, 20, 5))
    assert found == [(None, Outcome.BASELINE), (0, Outcome.ADDED), (None, Outcome.REPEAT)]


def test_a_counter_that_goes_backwards_leaves_its_interval_out() -> None:
    found = run(CUMULATIVE, (1, 10, 50), (1, 20, 3), (1, 30, 8))
    assert found == [(None, Outcome.BASELINE), (None, Outcome.RESET), (5, Outcome.ADDED)]


def test_a_new_start_is_a_reset_even_where_the_value_has_outgrown_the_old_one() -> None:
    found = run(CUMULATIVE, (1, 10, 50), (15, 20, 60), (15, 30, 61))
    assert found == [(None, Outcome.BASELINE), (None, Outcome.RESET), (1, Outcome.ADDED)]


def test_a_cumulative_point_that_was_overtaken_is_covered_by_the_one_that_overtook_it() -> None:
    found = run(CUMULATIVE, (1, 10, 5), (1, 30, 9), (1, 20, 7))
    assert [added for added, _ in found] == [None, 4, None]


def test_a_delta_point_that_is_sent_again_counts_once() -> None:
    found = run(DELTA, (0, 10, 5), (10, 20, 3), (10, 20, 3), (0, 10, 5))
    assert [added for added, _ in found] == [5, 3, None, None]


def test_a_delta_point_that_was_overtaken_still_counts_once() -> None:
    found = run(DELTA, (0, 10, 5), (20, 30, 3), (10, 20, 7), (10, 20, 7))
    assert [added for added, _ in found] == [5, 3, 7, None]


def test_a_delta_point_older_than_all_that_is_remembered_is_taken_for_a_repeat() -> None:
    points = [(time, time + 1, 1) for time in range(100, 120)]
    assert run(DELTA, *points, (1, 2, 1))[-1] == (None, Outcome.REPEAT)


def test_a_gauge_tells_its_value_and_old_values_are_passed_over() -> None:
    found = run(LEVEL, (0, 10, 5.0), (0, 5, 9.0), (0, 20, 4.0))
    assert [added for added, _ in found] == [5.0, None, 4.0]
