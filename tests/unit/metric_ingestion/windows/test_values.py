"""The arithmetic of points: differences, sums, and coarser buckets lose no request."""

from hypothesis import given
from hypothesis import strategies as st

from services.metric_ingestion.windows.values import (
    MOST_BUCKETS,
    Explicit,
    Exponential,
    add_explicit,
    add_exponential,
    coarsen,
    subtract,
)


def exponential(counts: tuple[int, ...], scale: int = 3, offset: int = 0, zero: int = 0) -> Exponential:
    return Exponential(sum(counts) + zero, float(sum(counts)), scale, zero, offset, counts)


def explicit(counts: tuple[int, ...], bounds: tuple[float, ...] = (1.0, 2.0)) -> Explicit:
    return Explicit(sum(counts), float(sum(counts)), bounds, counts)


histograms = st.builds(
    exponential,
    st.lists(st.integers(0, 50), max_size=40).map(tuple),
    st.integers(-3, 8),
    st.integers(-60, 60),
    st.integers(0, 5),
)


@given(histograms, histograms)
def test_a_sum_of_exponential_histograms_keeps_every_value(left: Exponential, right: Exponential) -> None:
    whole = add_exponential(left, right)
    assert whole.count == left.count + right.count
    assert sum(whole.counts) + whole.zero == whole.count
    assert whole.scale <= min(left.scale, right.scale)
    assert len(whole.counts) <= max(MOST_BUCKETS, len(left.counts), len(right.counts))


@given(histograms, st.integers(0, 4))
def test_a_coarser_histogram_puts_each_value_where_its_bounds_say(value: Exponential, steps: int) -> None:
    coarse = coarsen(value, value.scale - steps)
    assert sum(coarse.counts) == sum(value.counts)
    for index, count in enumerate(value.counts, value.offset):
        if count:
            assert coarse.counts[(index >> steps) - coarse.offset] >= count


@given(histograms, histograms)
def test_what_was_added_to_a_cumulative_histogram_comes_out_of_the_difference(
    before: Exponential, growth: Exponential
) -> None:
    after = add_exponential(before, growth)
    added = subtract(after, before)
    assert isinstance(added, Exponential)
    assert added.count == growth.count
    assert sum(added.counts) == sum(growth.counts)


def test_a_histogram_that_lost_values_is_a_reset() -> None:
    assert subtract(exponential((1, 2)), exponential((2, 1))) is None
    assert subtract(explicit((1, 0, 0)), explicit((0, 1, 0))) is None
    assert subtract(explicit((1, 0, 0)), explicit((1, 0, 0), (1.0, 3.0))) is None
    assert subtract(5, 7) is None
    assert subtract(5, explicit((1, 0, 0))) is None


def test_values_outside_the_new_buckets_are_a_reset() -> None:
    assert subtract(exponential((5,), offset=3), exponential((1,), offset=0)) is None


def test_histograms_of_different_edges_meet_at_the_edges_they_share() -> None:
    whole = add_explicit(explicit((1, 2, 4), (1.0, 2.0)), explicit((8, 16, 32), (2.0, 3.0)))
    assert whole.bounds == (2.0,)
    assert whole.counts == (1 + 2 + 8, 4 + 16 + 32)


def test_values_at_the_rim_of_two_far_apart_histograms_lower_the_scale_only_as_far_as_needed() -> None:
    whole = add_exponential(exponential((1,), offset=0), exponential((1,), offset=1000))
    assert whole.scale == 1
    assert sum(whole.counts) == 2
