"""A metric that never appears is reported in its first windows, with what the service sends instead."""

from tests.support.metrics.otlp import DURATION, RESOURCE, Export, variant
from tests.support.metrics.target import PLAN, Target

OTHER_NAME = PLAN.replace(DURATION, "http_server_request_duration_seconds")


def test_the_nearest_names_units_attributes_and_environments_are_reported_within_two_windows() -> None:
    target = Target(OTHER_NAME)
    for tenth in range(1, 40):
        elsewhere = Export(target.at(tenth / 10), 1, {**RESOURCE, "deployment.environment.name": "production"})
        target.export(tenth / 10, target.requests(tenth / 10), elsewhere.counter("orders", 1, variant("on")))
    target.clock(5)
    for window in target.windows[1:]:
        missing = window.missing["p99"]
        assert missing.metric == "http_server_request_duration_seconds"
        assert missing.names[0] == f"{DURATION} [s]"
        assert "http.response.status_code" in missing.attributes
        assert missing.environments == ("production",)


def test_a_metric_that_arrives_without_what_the_gate_asks_for_is_reported_with_its_attributes() -> None:
    target = Target(PLAN.replace("bad: {http", 'where: {http.route: "/pay"}, bad: {http'))
    for tenth in range(1, 40):
        target.traffic(tenth / 10)
    target.clock(5)
    missing = target.windows[2].missing
    assert missing["errors"].names == (f"{DURATION} [s]",)
    assert "http.route" not in missing["errors"].attributes
    assert "p99" not in missing


def test_silence_is_reported_too_and_a_gate_that_was_seen_is_not_missing() -> None:
    target = Target()
    target.clock(5)
    assert target.windows[0].missing.keys() == {"errors", "p99", "orders", "memory"}
    target.traffic(5.5)
    target.clock(9)
    assert target.windows[-1].missing.keys() == {"orders", "memory"}


def test_a_gate_whose_metric_the_plan_changes_is_missing_again() -> None:
    target = Target()
    target.traffic(0.5)
    target.adopt(PLAN.replace(DURATION, "other.duration"), "other", 1)
    target.clock(5)
    assert target.windows[-1].missing["errors"].metric == "other.duration"


def test_values_that_the_conditions_for_bad_events_left_out_are_reported_until_one_is_bad() -> None:
    target = Target()
    target.traffic(0.5)
    target.clock(3)
    assert target.windows[0].not_bad == {"errors": ("http.response.status_code=200",)}
    bad = target.new(3.5).histogram((1, 0, 0), variant("on", **{"http.response.status_code": 503}))
    target.export(3.5, bad)
    target.clock(7)
    assert target.windows[-1].not_bad == {}
