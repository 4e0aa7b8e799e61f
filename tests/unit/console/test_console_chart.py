"""The chart's geometry stays in its plot and says its numbers in words too."""

from itertools import pairwise

from penstock.events.verdicts import Direction
from services.console.pages.chart import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, charts_of
from services.console.read_models.projection import Projection
from services.console.wording.differences import difference_of
from tests.support.console.story import baking, held, rolled_back


def book_of(teller):
    projection = Projection()
    for offset, (topic, event) in enumerate(teller.events):
        projection.receive(topic, 0, offset, event)
    return projection.book(teller.rollout)


def points(text):
    return [tuple(float(part) for part in pair.split(",")) for pair in text.split()]


def test_everything_drawn_stays_inside_the_plot():
    for teller in (rolled_back(), baking(), held()):
        for chart in charts_of(book_of(teller)):
            drawn = points(chart.band) + points(chart.line) + [(dot.x, dot.y) for dot in chart.dots]
            assert all(LEFT <= x <= WIDTH - RIGHT and TOP <= y <= HEIGHT - BOTTOM for x, y in drawn)
            assert TOP <= chart.limit <= HEIGHT - BOTTOM


def test_the_breaching_gate_comes_first_and_its_last_point_says_so():
    first, second = charts_of(book_of(rolled_back()))
    assert (first.gate, second.gate) == ("p99", "errors")
    assert first.dots[-1].word == "breach"
    assert "breach" in first.dots[-1].title
    assert "rollback" in [label for _, label, _ in first.marks]


def test_a_breach_is_drawn_above_the_limit():
    chart = charts_of(book_of(rolled_back()))[0]
    assert chart.dots[-1].y < chart.limit < chart.zero


def test_a_gate_that_was_never_measured_has_no_chart():
    assert [chart.gate for chart in charts_of(book_of(held()))] == ["p99"]


def test_the_table_beside_the_chart_has_every_window():
    chart = charts_of(book_of(baking()))[0]
    assert [row.judged for row in chart.rows] == [1, 2, 3, 4, 5]


def test_time_labels_do_not_overlap():
    for teller in (rolled_back(), baking()):
        for chart in charts_of(book_of(teller)):
            places = [x for x, _ in chart.times]
            assert all(later - earlier >= 60 for earlier, later in pairwise(places))


def test_a_share_is_drawn_in_points_and_a_latency_relative():
    p99, errors = charts_of(book_of(rolled_back()))
    assert (p99.measure, errors.measure) == ("relative", "in percentage points")
    assert p99.limit_label.endswith(" %")
    assert errors.limit_label.endswith(" pp")
    assert all(row.band == "–" or " pp … " in row.band for row in errors.rows)


def test_windows_without_the_newest_measure_are_left_out_of_the_chart():
    book = book_of(rolled_back())
    gates = book.points[0].gates
    errors = gates["errors"]
    gates["errors"] = errors._replace(difference=errors.difference._replace(in_points=False, estimate=400.0))
    drawn = next(chart for chart in charts_of(book) if chart.gate == "errors")
    assert len(drawn.rows) == len(book.points) - 1


def test_a_limit_lies_on_the_side_that_is_worse():
    gate = next(gate for gate in book_of(baking()).gates if gate.gate == "p99")
    sides = {side: difference_of(gate.model_copy(update={"direction": side})) for side in (None, *Direction)}
    limit = sides[None].limit
    assert {side: found.limit for side, found in sides.items()} == {
        None: limit, Direction.UP: limit, Direction.DOWN: -limit, Direction.BOTH: limit
    }  # fmt: skip
    assert [sides[side].limit_words[0] for side in (None, Direction.DOWN, Direction.BOTH)] == ["+", "-", "±"]
