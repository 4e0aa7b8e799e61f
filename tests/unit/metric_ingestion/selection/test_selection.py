"""Which points count: for which target, in which cohort, for which gates; and what becomes of bad input."""

import pytest
from google.protobuf.json_format import MessageToJson

from penstock.chain.record import LARGEST
from penstock.events import Cohort, Doubt, Outside
from services.metric_ingestion.doors.otlp_messages import parse
from services.metric_ingestion.selection.match import Matcher
from services.metric_ingestion.selection.select import Selection, Selector
from services.metric_ingestion.windows.frames import Frame, Role, decode, encode
from tests.support.metrics.ingestion import watched
from tests.support.metrics.otlp import CUMULATIVE, RESOURCE, SECOND, Export, request, variant
from tests.support.plans import SHORT, TARGET

AT = 1_800_000_000 * SECOND
BY_VERSION = SHORT.replace("windows:", "cohorts: {by: service_version}\nwindows:", 1)


def select(*exports: Export, text: str = SHORT, version: str | None = None) -> Selection:
    return Selector([Matcher(watched(text, version=version))]).select(request(*exports), AT)


def export(resource: dict[str, str] | None = None, at: int = AT) -> Export:
    return Export(at, max(0, at - SECOND), {**RESOURCE, **(resource or {})})


def the_frame(selection: Selection) -> Frame:
    ((target, frame),) = selection.frames
    assert target == TARGET
    return decode(encode(frame))


def cohorts(selection: Selection) -> list[str]:
    return [series.cohort for _, frame in selection.frames for series in frame.series]


def test_a_point_counts_for_every_gate_of_its_metric() -> None:
    frame = the_frame(select(export().histogram((1, 2, 3), variant("on", **{"http.response.status_code": 503}))))
    (series,) = frame.series
    assert [(part.gate, part.role) for part in series.parts] == [
        ("errors", Role.TOTAL),
        ("errors", Role.BAD),
        ("p99", Role.DISTRIBUTION),
    ]
    assert frame.explicit(0).counts == (1, 2, 3)


def test_points_of_other_services_environments_flags_and_metrics_are_left_alone() -> None:
    selection = select(
        export({"service.name": "cart"}).histogram((1, 0, 0), variant("on")),
        export({"deployment.environment.name": "production"}).histogram((1, 0, 0), variant("on")),
        export().histogram((1, 0, 0), variant("on", flag="footer")),
        export().histogram((1, 0, 0), variant("on"), name="db.client.operation.duration"),
    )
    assert selection.frames == []
    assert selection.rejected == 0


def test_a_watched_service_that_does_not_say_its_environment_is_told_so() -> None:
    resource = {"service.name": "shop"}
    selection = select(Export(AT, AT - SECOND, resource).histogram((1, 0, 0), variant("on")))
    assert selection.frames == []
    assert "deployment.environment.name" in selection.problems[0]


def test_the_older_name_of_the_environment_is_understood() -> None:
    resource = {"service.name": "shop", "deployment.environment": "staging"}
    assert cohorts(select(Export(AT, AT - SECOND, resource).histogram((1, 0, 0), variant("on")))) == [Cohort.CANARY]


def test_the_variant_may_stand_on_the_resource() -> None:
    resource = {"feature_flag.key": "banner", "feature_flag.result.variant": "off"}
    assert cohorts(select(export(resource).histogram((1, 0, 0), {}))) == [Cohort.BASELINE]


def test_versions_tell_cohorts_where_the_plan_says_so() -> None:
    exports = [export({"service.version": v}).histogram((1, 0, 0), {}) for v in ("2.0", "1.9", "1.8")]
    expected = [Cohort.CANARY, Cohort.BASELINE, Cohort.BASELINE]
    assert cohorts(select(*exports, text=BY_VERSION, version="2.0")) == expected
    assert cohorts(select(*exports, text=BY_VERSION)) == [Cohort.BASELINE] * 3
    (series,) = the_frame(select(export().histogram((1, 0, 0), {}), text=BY_VERSION, version="2.0")).series
    assert (series.cohort, series.outside) == ("", Outside.NO_VERSION)


def test_conditions_of_a_gate_are_patterns_on_point_or_resource() -> None:
    text = SHORT.replace("    quantile: 0.99\n", '    quantile: 0.99\n    where: {http.route: "/cart/*", zone: eu}\n')
    found = select(
        export({"zone": "eu"}).histogram((1, 0, 0), variant("on", **{"http.route": "/cart/pay"})),
        export({"zone": "us"}).histogram((1, 0, 0), variant("on", **{"http.route": "/cart/pay"})),
        export({"zone": "eu"}).histogram((1, 0, 0), variant("on", **{"http.route": "/search"})),
        text=text,
    )
    gates = [{part.gate for part in series.parts} for series in the_frame(found).series]
    assert gates == [{"errors", "p99"}, {"errors"}, {"errors"}]


def test_a_pattern_means_what_it_says_and_nothing_of_regular_expressions() -> None:
    text = SHORT.replace('"5*"', '"5.*"')
    (series,) = the_frame(
        select(export().histogram((1, 0, 0), variant("on", **{"http.response.status_code": 503})), text=text)
    ).series
    assert Role.BAD not in {part.role for part in series.parts}


def test_a_metric_of_bad_events_counts_beside_the_metric_of_all() -> None:
    text = SHORT.replace('bad: {http.response.status_code: "5*"}', "bad_metric: failures")
    frame = the_frame(
        select(export().histogram((4, 0, 0), variant("on")).counter("failures", 2, variant("on")), text=text)
    )
    roles = [[(part.gate, part.role) for part in series.parts] for series in frame.series]
    assert roles == [[("errors", Role.TOTAL), ("p99", Role.DISTRIBUTION)], [("errors", Role.BAD)]]


def test_telemetry_that_a_gate_cannot_use_is_doubted() -> None:
    def doubt(whole: Export) -> set[str]:
        return {part.doubt for series in the_frame(select(whole)).series for part in series.parts if part.gate == "p99"}

    on = variant("on")
    duration = "http.server.request.duration"
    assert doubt(export().histogram((1, 0, 0), on)) == {""}
    assert doubt(export().histogram((1, 0, 0), on, unit="By")) == {Doubt.OTHER_UNIT}
    assert doubt(export().histogram((7,), on, bounds=())) == {Doubt.NO_BUCKETS}
    assert doubt(export().counter(duration, 3, on)) == {Doubt.WRONG_KIND}
    assert doubt(export().gauge(duration, 3, on)) == {Doubt.WRONG_KIND}


def test_malformed_points_are_counted_and_the_good_ones_beside_them_kept() -> None:
    whole = export().histogram((1, 0, 0), variant("on"))
    whole.histogram((1, 2), variant("off"), bounds=(0.1, 0.5))
    whole.histogram((3, 0, 0), variant("off"), temporality=0)
    broken = export().histogram((1, 0, 0), variant("off"))
    broken.metrics[0].histogram.data_points[0].count = 99
    timeless = export(at=0).histogram((1, 0, 0), variant("off"))
    ahead = export(at=AT + 3600 * SECOND).histogram((1, 0, 0), variant("off"))
    nothing = export().gauge("http.server.request.duration", float("nan"), variant("off"))
    selection = select(whole, broken, timeless, ahead, nothing)
    assert selection.rejected == 6
    assert cohorts(selection) == [Cohort.CANARY]


def test_points_without_a_recorded_value_say_nothing() -> None:
    whole = export().histogram((1, 0, 0), variant("on"))
    whole.metrics[0].histogram.data_points[0].flags = 1
    selection = select(whole)
    assert (selection.frames, selection.rejected) == ([], 0)


def test_the_order_of_attributes_makes_no_other_series() -> None:
    attributes = variant("on", a="1", b="2")
    frame = the_frame(
        select(
            export().histogram((1, 0, 0), attributes),
            export().histogram((1, 0, 0), dict(reversed(attributes.items()))),
        )
    )
    assert len({series.key for series in frame.series}) == 1


def test_instances_are_series_and_sources_of_their_own() -> None:
    frame = the_frame(
        select(*(export({"service.instance.id": name}).histogram((1, 0, 0), variant("on")) for name in ("1", "2")))
    )
    assert len({series.key for series in frame.series}) == len({series.source for series in frame.series}) == 2


def test_a_request_of_many_points_becomes_several_frames() -> None:
    whole = export()
    for number in range(5001):
        whole.counter("http.server.request.duration", 1, variant("on", n=number), temporality=CUMULATIVE)
    frames = [frame for _, frame in select(whole).frames]
    assert [len(frame.series) for frame in frames] == [5000, 1]


def test_json_says_what_protobuf_says() -> None:
    whole = request(export().histogram((1, 2, 3), variant("on")).exponential((4, 5), variant("off"), zero=1))
    data = whole.resource_metrics[0].scope_metrics[0].metrics[0].histogram.data_points[0]
    data.exemplars.add(trace_id=bytes(16), span_id=bytes(8), as_double=1.0)
    text = MessageToJson(whole).replace('"AAAAAAAAAAAAAAAAAAAAAA=="', '"0af7651916cd43dd8448eb211c80319c"')
    selector = Selector([Matcher(watched(SHORT))])
    from_protobuf = selector.select(parse(whole.SerializeToString(), json=False), AT)
    assert selector.select(parse(text.encode(), json=True), AT).frames == from_protobuf.frames
    assert len(from_protobuf.frames[0][1].series) == 2


def test_a_request_of_large_histograms_becomes_frames_that_a_broker_takes() -> None:
    buckets = 4000
    large = export()
    for number in range(600):
        bounds = [number + place / buckets for place in range(buckets - 1)]
        large.histogram([2**30] * buckets, variant("on", **{"server.instance": number}), bounds)
    selection = select(large)
    assert sum(len(frame.explicits.count) for _, frame in selection.frames) == 600
    assert max(len(encode(frame)) for _, frame in selection.frames) <= LARGEST


def test_a_plan_that_changes_compiles_its_own_target_alone() -> None:
    cart = SHORT.replace("service: shop", "service: cart")
    selector = Selector([Matcher(watched(SHORT)), Matcher(watched(cart, target="staging/cart/banner"))])

    def series(service: str) -> list[object]:
        one = export({"service.name": service}).histogram(
            (1, 0, 0), variant("on", **{"http.response.status_code": 503})
        )
        return [s for _, frame in selector.select(request(one), AT).frames for s in frame.series]

    shop, other = series("shop"), series("cart")
    changed = SHORT.replace('"5*"', '"4*"')
    selector.put(TARGET, Matcher(watched(changed)))
    assert series("cart")[0] is other[0], "classified again, though nothing of it has changed"
    assert Role.BAD in {part.role for part in shop[0].parts}  # type: ignore[attr-defined]
    assert Role.BAD not in {part.role for part in series("shop")[0].parts}  # type: ignore[attr-defined]
    selector.put(TARGET, None)
    assert (series("shop"), len(series("cart"))) == ([], 1)


def test_more_series_than_are_remembered_are_still_classified_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.metric_ingestion.selection.select._MOST_CACHED", 10)
    selector = Selector([Matcher(watched(SHORT))])
    for _ in range(3):
        whole = export()
        for number in range(25):
            whole.histogram((1, 0, 0), variant("on", n=number))
        ((_, frame),) = selector.select(request(whole), AT).frames
        assert len({s.key for s in frame.series}) == 25
