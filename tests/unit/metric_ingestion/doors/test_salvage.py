"""One invalid text, one bad point or one foreign metric never loses the batch beside it, in protobuf and in JSON."""

import json

import msgspec
import pytest
from google.protobuf.json_format import MessageToDict

from penstock.errors import InvalidError
from services.metric_ingestion.doors.otlp_messages import parse_partly
from services.metric_ingestion.selection.match import Matcher
from services.metric_ingestion.selection.select import Selection, Selector
from tests.support.metrics.ingestion import watched
from tests.support.metrics.otlp import SECOND, Export, request, variant
from tests.support.plans import SHORT

AT = 1_800_000_000 * SECOND
MARK = "MARKED"


def batch() -> Export:
    """Return three points: of the canary, one that a test breaks, of the control; and a foreign metric."""
    export = Export(AT, AT - SECOND)
    export.histogram((1, 0, 0), variant("on"))
    export.histogram((2, 0, 0), variant("on", route=MARK))
    export.histogram((4, 0, 0), variant("off"))
    return export.counter("foreign", 1, {"x": MARK + "2"})


def selected(body: bytes, as_json: bool = False) -> Selection:
    parsed, lost = parse_partly(body, as_json)
    return Selector([Matcher(watched(SHORT))]).select(parsed, AT, lost=lost)


def requests(selection: Selection) -> int:
    return sum(sum(frame.explicits.count) for _, frame in selection.frames)


def test_a_text_that_is_not_utf8_loses_nothing() -> None:
    whole = request(batch()).SerializeToString()
    for broken in (whole.replace(b"MARKED", b"MA\xffKED"), whole.replace(b"MARKED2", b"MARK\xc3\x28Z")):
        selection = selected(broken)
        assert requests(selection) == 7
        assert "UTF-8" in selection.problems[0]


def test_a_broken_point_loses_itself_alone() -> None:
    whole = request(batch()).SerializeToString()
    place = whole.index(b"MARKED") - 2
    # The length of an attribute's text now reaches beyond its point.
    broken = whole[:place] + bytes([0x0A, 0x7F]) + whole[place + 2 :]
    selection = selected(broken)
    assert requests(selection) == 5
    assert selection.rejected == 1
    assert "data_points" in selection.problems[0]


def test_a_foreign_metric_in_no_known_form_loses_itself_alone() -> None:
    export = batch()
    whole = request(export)
    body = whole.SerializeToString()
    metric = whole.resource_metrics[0].scope_metrics[0].metrics[-1].SerializeToString()
    broken = body.replace(metric, bytes([0x0F]) + metric[1:])
    assert broken != body
    selection = selected(broken)
    assert requests(selection) == 7
    assert selection.rejected == 1


@pytest.mark.parametrize("body", [b"\xff no OTLP", b"\x0a\xff\xff\xff\xff\x0f", b"hello world", b"\x0a\x02\xff\xff"])
def test_what_is_no_request_at_all_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidError, match="is not OTLP protobuf"):
        parse_partly(body, json=False)


def test_any_cut_or_changed_byte_is_refused_or_read_in_part() -> None:
    whole = request(batch()).SerializeToString()
    for place in range(len(whole)):
        for body in (whole[:place], whole[:place] + bytes([whole[place] ^ 0x91]) + whole[place + 1 :]):
            try:
                selected(body)
            except InvalidError:
                continue


def json_batch() -> dict[str, object]:
    return MessageToDict(request(batch()))


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        (lambda metrics: metrics[1]["histogram"]["dataPoints"][0].update(count="many"), 5),
        (lambda metrics: metrics[1]["histogram"]["dataPoints"].append("no point"), 7),
        (lambda metrics: metrics[1]["histogram"]["dataPoints"][0].update(attributes=7), 5),
        (lambda metrics: metrics[1]["histogram"].update(aggregationTemporality=[]), 5),
        (lambda metrics: metrics[3].update(sum=[1]), 7),
        (lambda metrics: metrics.append(17), 7),
        (lambda metrics: metrics[3].update(name="\ud800"), 7),
    ],
)
def test_a_broken_part_of_a_json_request_loses_itself_alone(change: object, kept: int) -> None:
    document = json_batch()
    change(document["resourceMetrics"][0]["scopeMetrics"][0]["metrics"])  # type: ignore[index,operator]
    selection = selected(json.dumps(document).encode(), as_json=True)
    assert requests(selection) == kept
    assert selection.rejected >= 1


def test_a_json_text_that_is_not_utf8_loses_nothing() -> None:
    body = msgspec.json.encode(json_batch()).replace(b"MARKED", b"MA\xffKED")
    selection = selected(body, as_json=True)
    assert requests(selection) == 7


def test_a_malformed_point_is_counted_in_the_frames_of_those_who_watch_it() -> None:
    export = batch()
    export.metrics[1].histogram.data_points[0].count = 99
    ((_, frame),) = selected(request(export).SerializeToString()).frames
    assert frame.rejected == {"malformed": 1}
