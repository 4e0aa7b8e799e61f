"""Whatever a source sends, its points are refused or add up to windows that can be written down."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.events import from_json, to_json
from services.metric_ingestion.selection.match import Matcher
from services.metric_ingestion.selection.select import Selector
from services.metric_ingestion.windows.closing import apply_document, document_for_plan, steps
from services.metric_ingestion.windows.target import TargetState
from tests.support.metrics.ingestion import watched
from tests.support.metrics.otlp import DURATION, SECOND, Export, Text, request, variant
from tests.support.metrics.target import PLAN as ALL_KINDS
from tests.support.plans import TARGET

AT = 1_800_000_000 * SECOND
PLAN = ALL_KINDS.replace("  orders:", "  mean: {kind: mean, metric: http.server.request.duration}\n  orders:")

counts = st.integers(0, 2**64 - 1) | st.integers(0, 5)
numbers = st.floats() | st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3)
temporalities = st.integers(0, 2)
attributes = st.sampled_from([variant("on"), variant("off"), variant("on", **{"http.response.status_code": "503"})])


def whole(data: st.DataObject, at: int) -> Export:
    """Return an export in which anything may stand that the encoding allows."""
    made = Export(at, data.draw(st.sampled_from([0, at - SECOND, at, 2**63])))
    for _ in range(data.draw(st.integers(1, 5))):
        point: dict[str, Text] = data.draw(attributes)
        match data.draw(st.sampled_from(["sum", "gauge", "explicit", "exponential"])):
            case "sum":
                name = data.draw(st.sampled_from([DURATION, "orders", "memory"]))
                made.counter(name, data.draw(numbers), point, data.draw(temporalities), data.draw(st.booleans()))
            case "gauge":
                made.gauge("memory", data.draw(numbers), point)
            case "explicit":
                bounds = data.draw(st.lists(st.floats(), max_size=3))
                buckets = data.draw(st.lists(st.integers(0, 2**40), max_size=4))
                made.histogram(buckets, point, bounds, data.draw(temporalities))
                value = made.metrics[-1].histogram.data_points[0]
                value.sum = data.draw(st.floats())
                value.count = data.draw(counts | st.just(sum(buckets)))
            case _:
                buckets = data.draw(st.lists(st.integers(0, 2**40), max_size=20))
                scale, offset = data.draw(st.integers(-12, 22)), data.draw(st.integers(-(2**31), 2**31 - 1))
                made.exponential(
                    buckets, point, scale, data.draw(st.just(offset) | st.just(0)), data.draw(temporalities)
                )
                made.metrics[-1].exponential_histogram.data_points[0].sum = data.draw(st.floats())
    return made


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_any_points_are_refused_or_told(data: st.DataObject) -> None:
    plan = watched(PLAN)
    selector, state = Selector([Matcher(plan)]), TargetState()
    apply_document(state, document_for_plan(state, plan.plan, plan.plan_hash, AT), ())
    told = []
    for second in range(1, 4):
        at = AT + second * SECOND
        exports = [whole(data, at + data.draw(st.sampled_from([0, -SECOND, 500 * SECOND]))) for _ in range(2)]
        for _, frame in selector.select(request(*exports), at).frames:
            state.add_frame(frame)
        told += [event for step in steps(state, TARGET, SECOND, at) for event in step.events]
    for event in told:
        assert from_json(msgspec.json.decode(msgspec.json.encode(to_json(event)))) == event
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=TargetState) == state
