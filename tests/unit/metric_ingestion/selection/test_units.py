"""Units that instruments state: converted to the gate's, or refused; never taken for the gate's."""

import pytest

from penstock.events import Cohort, Doubt, ExplicitHistogram, WindowClosed
from services.metric_ingestion.selection.units import factor, normal
from tests.support.metrics.otlp import DURATION, variant
from tests.support.metrics.target import PLAN, Target

IN_SECONDS = PLAN.replace("quantile: 0.99", "quantile: 0.99, unit: s")


def window_of(*histograms: tuple[str, tuple[float, ...]], text: str = IN_SECONDS, name: str = DURATION) -> WindowClosed:
    target = Target(text.replace(DURATION, name))
    for number, (unit, bounds) in enumerate(histograms):
        for cohort in ("on", "off"):
            export = target.new(0.5, f"shop-{number}")
            target.export(0.5, export.histogram((3, 4, 5), variant(cohort), bounds, unit=unit, name=name))
    target.clock(4)
    return target.windows[0]


@pytest.mark.parametrize("unit", ["ms", "milliseconds", "Milliseconds", "millis"])
def test_milliseconds_become_seconds(unit: str) -> None:
    measure = window_of((unit, (100.0, 500.0))).measures[Cohort.CANARY]["p99"]
    assert isinstance(measure, ExplicitHistogram)
    assert measure.bounds == (0.1, 0.5)
    assert measure.sum == pytest.approx(0.012)
    assert measure.counts == (3, 4, 5)


def test_instances_that_measure_in_other_units_are_added_up_in_one() -> None:
    measure = window_of(("ms", (7.0, 75.0)), ("s", (0.007, 0.075)), ("us", (7e3, 75e3))).measures[Cohort.CANARY]["p99"]
    assert isinstance(measure, ExplicitHistogram)
    assert measure.counts == (9, 12, 15)


@pytest.mark.parametrize("unit", ["", "1", "By", "{request}", "%", "fortnights"])
def test_a_unit_that_is_no_time_or_is_not_stated_is_refused(unit: str) -> None:
    window = window_of((unit, (0.1, 0.5)))
    assert window.doubts["p99"] is Doubt.OTHER_UNIT
    assert "p99" not in window.measures[Cohort.CANARY]
    assert "errors" in window.measures[Cohort.CANARY], "a share of events has no unit"


def test_a_unit_that_is_not_stated_is_read_from_the_name_or_the_plan() -> None:
    named = window_of(("", (100.0, 500.0)), name="http_server_requests_milliseconds")
    assert named.measures[Cohort.CANARY]["p99"].bounds == (0.1, 0.5)  # type: ignore[union-attr]
    assumed = IN_SECONDS.replace("unit: s", "unit: s, assume_unit: ms")
    window = window_of(("", (100.0, 500.0)), text=assumed)
    assert window.measures[Cohort.CANARY]["p99"].bounds == (0.1, 0.5)  # type: ignore[union-attr]
    stated = window_of(("s", (0.1, 0.5)), text=assumed)
    assert stated.measures[Cohort.CANARY]["p99"].bounds == (0.1, 0.5)  # type: ignore[union-attr]


def test_exponential_edges_cannot_be_converted_and_are_refused() -> None:
    target = Target(IN_SECONDS)
    export = target.new(0.5).exponential((5,), variant("on"))
    export.metrics[0].unit = "ms"
    target.export(0.5, export)
    target.clock(4)
    assert target.windows[0].doubts["p99"] is Doubt.OTHER_UNIT


def test_a_gauge_is_converted_or_where_the_plan_states_no_unit_must_come_in_one() -> None:
    def window(text: str, *units: str) -> WindowClosed:
        target = Target(text)
        for number, unit in enumerate(units):
            export = target.new(0.5, f"shop-{number}").gauge("memory", 2.0, variant("on"))
            export.metrics[0].unit = unit
            target.export(0.5, export)
        target.clock(4)
        return target.windows[0]

    stated = PLAN.replace("metric: memory", "metric: memory, unit: MiB")
    assert window(stated, "GiBy").measures[Cohort.CANARY]["memory"].sum == 2048  # type: ignore[union-attr]
    assert window(stated, "s").doubts["memory"] is Doubt.OTHER_UNIT
    assert "memory" in window(PLAN, "By", "By").measures[Cohort.CANARY]
    assert window(PLAN, "By", "MiBy").doubts["memory"] is Doubt.OTHER_UNIT


def test_spellings_and_sizes() -> None:
    assert [normal(unit) for unit in ("{request}", "seconds", "µs", "bytes", "percent", "")] == [
        "1", "s", "us", "By", "%", "",
    ]  # fmt: skip
    assert (factor("%", "1"), factor("", "s"), factor("ms", "By"), factor("x", "x")) == (0.01, None, None, 1.0)
