"""Events of a watched metric that belong to no cohort: shown by reason, and beyond a bound the gates have no data."""

import pytest

from penstock.events import Cohort, Doubt, Outside
from tests.support.metrics.otlp import CUMULATIVE, Export, Text, variant
from tests.support.metrics.target import PLAN, Target, totals

OK, BROKEN = {"http.response.status_code": 200}, {"http.response.status_code": 503}
BY_VERSION = PLAN.replace("windows:", "cohorts: {by: service_version}\nwindows:")


def window_of(outside: dict[str, Text], count: int = 20, text: str = PLAN, canary: int = 80) -> object:
    """Return the first window of a target with so many events of these attributes beside its cohorts."""
    target = Target(text)
    export = target.requests(0.5, canary=canary, baseline=400)
    if count:
        export.histogram((count, 0, 0), outside)
    target.export(0.5, export)
    target.clock(4)
    return target.windows[0]


@pytest.mark.parametrize(
    ("attributes", "reason", "values"),
    [
        ({"otel.metric.overflow": True}, Outside.OVERFLOW, ()),
        (variant("purple", **BROKEN), Outside.OTHER_VARIANT, ("purple",)),
        (BROKEN, Outside.NO_FLAG, ()),
        ({"feature_flag.key": "banner", **BROKEN}, Outside.NO_VARIANT, ()),
        ({"feature_flag.result.variant": "on", **BROKEN}, Outside.NO_FLAG, ("on",)),
    ],
)
def test_events_without_a_cohort_are_shown_and_leave_the_gates_without_data(
    attributes: dict[str, Text], reason: Outside, values: tuple[str, ...]
) -> None:
    window = window_of(attributes)
    assert window.unattributed["errors"].reasons == {reason: 20}  # type: ignore[attr-defined]
    assert window.unattributed["errors"].share == 20 / 500  # type: ignore[attr-defined]
    assert window.unattributed["p99"].values == values  # type: ignore[attr-defined]
    assert window.doubts["errors"] is window.doubts["p99"] is Doubt.UNATTRIBUTED  # type: ignore[attr-defined]
    assert not window.measures.get(Cohort.CANARY)  # type: ignore[attr-defined]


def test_a_share_below_the_bound_is_shown_and_the_gates_are_measured() -> None:
    window = window_of(variant("purple"), count=2)
    assert window.unattributed["errors"].reasons == {Outside.OTHER_VARIANT: 2}  # type: ignore[attr-defined]
    assert "errors" in window.measures[Cohort.CANARY]  # type: ignore[attr-defined]


def test_a_small_share_of_everyone_that_is_much_of_a_small_canary_is_too_much() -> None:
    assert window_of(variant("purple"), count=2, canary=8).doubts["errors"] is Doubt.UNATTRIBUTED  # type: ignore[attr-defined]


def test_the_bound_is_the_plans() -> None:
    loose = PLAN.replace("windows:", "cohorts: {unattributed: 20%}\nwindows:")
    window = window_of(variant("purple"), text=loose)
    assert window.unattributed["errors"].share == 20 / 500  # type: ignore[attr-defined]
    assert window.doubts.get("errors") is not Doubt.UNATTRIBUTED  # type: ignore[attr-defined]


def test_another_flags_record_of_a_request_is_no_event_without_a_cohort() -> None:
    assert window_of(variant("purple", flag="footer")).unattributed == {}  # type: ignore[attr-defined]


def test_the_values_that_are_kept_are_bounded() -> None:
    target = Target()
    export = target.requests(0.5)
    for number in range(100):
        export.histogram((1, 0, 0), variant("v" * 200 + str(number)))
        export.histogram((1, 0, 0), variant(f"w{number}"))
    target.export(0.5, export)
    target.clock(4)
    values = target.windows[0].unattributed["errors"].values
    assert len(values) == 8
    assert max(map(len, values)) <= 64


def test_an_overflow_series_of_a_version_may_hide_its_errors() -> None:
    target = Target(BY_VERSION)
    target.watch(BY_VERSION, "2")
    for version, point in (("1", OK), ("2", OK), ("2", {"otel.metric.overflow": True})):
        export = target.new(0.5)
        export.resource = {**export.resource, "service.version": version}
        target.export(0.5, export.histogram((100, 0, 0), dict(point)))
    target.clock(4)
    assert target.windows[0].unattributed["errors"].reasons == {Outside.OVERFLOW: 100}
    assert target.windows[0].doubts["errors"] is Doubt.UNATTRIBUTED


def test_cumulative_series_without_a_cohort_count_by_what_they_added() -> None:
    target = Target()
    for second, value in ((0.5, 70_000), (1.5, 70_003)):
        export = Export(target.at(second), target.at(-100))
        export.histogram((value, 0, 0), variant("purple"), temporality=CUMULATIVE)
        target.export(second, export, target.requests(second, canary=500, baseline=500))
    target.clock(6)
    assert target.windows[0].unattributed == {}
    assert target.windows[1].unattributed["errors"].reasons == {Outside.OTHER_VARIANT: 3}
    assert totals(target.windows[1:2], Cohort.CANARY) == [500]
