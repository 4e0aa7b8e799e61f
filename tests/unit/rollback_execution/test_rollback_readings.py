"""What is kept of a window, what a plan asks of a rollback, and how a window is compared with those before."""

import msgspec
import numpy as np
import pytest

from penstock.events import Count, ExplicitHistogram, Gauge, Ratio
from services.rollback_execution.readings import LEVELS, nearest_level, readings_of, requests
from services.rollback_execution.recovery import REFRESH, SLOTS, Health, health_of, sample
from services.rollback_execution.rollback_plan import rollback_plan_of
from services.rollback_execution.state import Reading, Reference, State
from tests.support.deciders.rollbacks import WITH_HOOK, closed
from tests.support.metrics.windows import histogram, moment
from tests.support.plans import SHORT


@pytest.mark.parametrize(
    ("quantile", "level"), [(0.5, 0.5), (0.8, 0.75), (0.975, 0.95), (0.98, 0.99), (0.9999, 0.999), (0.01, 0.5)]
)
def test_a_quantile_is_compared_at_the_nearest_level(quantile: float, level: float) -> None:
    assert LEVELS[nearest_level(quantile)] == level


def test_levels_of_an_exponential_histogram_are_the_samples_within_a_bucket() -> None:
    values = np.random.default_rng(1).lognormal(-3, 0.5, 20_000)
    reading = readings_of({"p99": histogram(values)})["p99"]
    assert reading.n == 20_000
    assert reading.mean == pytest.approx(values.mean(), rel=1e-4)
    assert reading.levels == pytest.approx(np.quantile(values, LEVELS), rel=0.01)


def test_levels_of_an_explicit_histogram_are_interpolated_and_end_at_its_last_bound() -> None:
    explicit = ExplicitHistogram(count=100, sum=50.0, bounds=(1.0, 2.0), counts=(50, 40, 10))
    reading = readings_of({"p99": explicit})["p99"]
    assert reading.levels == pytest.approx((1.0, 1.625, 2.0, 2.0, 2.0, 2.0))


def test_every_kind_of_measure_has_a_reading_and_an_empty_one_has_none() -> None:
    measures = {
        "errors": Ratio(events=3, total=100),
        "memory": Gauge(count=4, sum=10.0, sumsq=30.0),
        "orders": Count(value=12, exposure=3.0),
        "none": Ratio(events=0, total=0),
        "no-instance": Gauge(count=0, sum=0, sumsq=0),
        "no-time": Count(value=0, exposure=0),
        "no-latency": ExplicitHistogram(count=0, sum=0, bounds=(1.0,), counts=(0, 0)),
    }
    assert readings_of(measures) == {
        "errors": Reading(100, bad=3),
        "memory": Reading(4, mean=2.5),
        "orders": Reading(1, mean=4.0),
    }
    assert requests(measures) == 100
    assert requests({"memory": measures["memory"]}) == 0


def test_a_plan_gives_its_steps_deadlines_and_the_wider_of_its_margins() -> None:
    needs = rollback_plan_of(WITH_HOOK, "hash")
    assert [(step.kind, step.name, step.deadline) for step in needs.steps] == [
        ("flag", "flag", 10.0),
        ("webhook", "tell-ci", 30.0),
    ]
    assert (needs.containment, needs.recovery_windows, needs.recovery_deadline) == (5.0, 2, 60.0)
    errors, latency = needs.yardsticks["errors"], needs.yardsticks["p99"]
    assert (errors.by, errors.relative, errors.absolute, errors.up, errors.down) == ("ratio", 1.0, 0.08, True, False)
    assert (latency.by, LEVELS[latency.level], latency.relative) == ("level", 0.99, 2.5)


GATES = """\
  size: {kind: mean, metric: m}
  memory: {kind: gauge, metric: m, direction: down}
  orders: {kind: count, metric: m}
  budget: {kind: burn_rate, metric: m, bad: {a: b}, objective: 1%}
  goal: {kind: slo, metric: m, bad: {a: b}, objective: 1%}
stages:
"""


def test_every_kind_of_gate_has_a_yardstick_that_knows_which_way_is_worse() -> None:
    yardsticks = rollback_plan_of(SHORT.replace("stages:\n", GATES), "hash").yardsticks
    assert {name: (one.by, one.up, one.down) for name, one in yardsticks.items()} == {
        "errors": ("ratio", True, False),
        "p99": ("level", True, False),
        "size": ("mean", True, False),
        "memory": ("mean", False, True),
        "orders": ("mean", True, True),
        "budget": ("ratio", True, False),
        "goal": ("ratio", True, False),
    }


def test_a_plan_without_steps_still_brings_the_flag_to_zero() -> None:
    needs = rollback_plan_of(SHORT.replace("rollback:\n", "rollback:\n  steps: []\n"), "hash")
    assert [step.kind for step in needs.steps] == ["flag"]


def reference(second: float, **readings: Reading) -> Reference:
    return Reference(moment(second), readings)


@pytest.mark.parametrize(
    ("orders", "shown"), [(95.0, Health.WELL), (60.0, Health.UNWELL), (140.0, Health.UNWELL), (None, Health.UNMEASURED)]
)
def test_a_rate_may_leave_its_usual_place_in_neither_direction(orders: float | None, shown: Health) -> None:
    needs = rollback_plan_of(SHORT.replace("stages:\n", "  orders: {kind: count, metric: m}\nstages:\n"), "hash")
    before = [reference(n, orders=Reading(1, mean=100.0 + n % 3)) for n in range(6)]
    window = closed(9)
    measures = dict(window.measures)
    [(cohort, found)] = measures.items()
    if orders is not None:
        found = found | {"orders": Count(value=orders, exposure=1.0)}
    window = window.model_copy(update={"measures": {cohort: found}})
    assert health_of(needs, before, window).health is shown


def test_references_are_dense_first_then_one_in_thirty_and_the_oldest_goes() -> None:
    state, kept = State(), []
    for number in range(SLOTS + 3 * REFRESH):
        references = sample(state, closed(float(number)))
        if references is not None:
            kept.append(number)
            state = msgspec.structs.replace(state, references=references)
    assert kept == [*range(SLOTS), *(SLOTS - 1 + REFRESH * turn for turn in (1, 2, 3))]
    ends = {one.end for one in state.references.values()}
    assert len(ends) == SLOTS
    assert moment(1) not in ends


def test_windows_with_a_canary_are_no_reference_of_the_quiet_service() -> None:
    assert sample(State(), closed(0, canary=5)) is None
    assert sample(State(), closed(0, total=0)) is None
    assert sample(State(live=True), closed(0, canary=5)) is not None
