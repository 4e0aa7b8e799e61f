"""Our own telemetry on a real broker: one trace from the tipping window through verdict and decision, sent by OTLP."""

from collections.abc import AsyncIterator

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from penstock.chain import Record, digest_of, encode, genesis
from penstock.chain.record import digest
from penstock.events import to_json
from penstock.events.cloudevents import to_kafka
from penstock.partitioner import partition_of
from penstock.settings import Settings
from services.gate_evaluation.app import build as gate_evaluation
from services.rollout_control.app import build as rollout_control
from services.runtime.http.server import HttpServer
from services.runtime.kafka.appender import Appender
from services.runtime.kafka.connection import ensure_topics, named
from services.runtime.kafka.reader import Heard, PublicReader
from services.runtime.process.service import system_clock
from tests.support.deciders.slice import deploy
from tests.support.metrics.windows import moment, window
from tests.support.plans import TARGET
from tests.support.stack import eventually

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Collector:
    """What an OpenTelemetry Collector is sent."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, str, str]] = []
        self.metrics: set[str] = set()
        self.server = HttpServer(Starlette(routes=[Route("/v1/{kind}", self._take, methods=["POST"])]), "127.0.0.1", 0)

    async def _take(self, request: Request) -> Response:
        body = await request.body()
        if request.path_params["kind"] == "traces":
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                service = {a.key: a.value.string_value for a in resource.resource.attributes}["service.name"]
                spans = [span for scope in resource.scope_spans for span in scope.spans]
                self.spans += [(service, span.name, span.trace_id.hex()) for span in spans]
        else:
            found = ExportMetricsServiceRequest.FromString(body).resource_metrics
            self.metrics |= {m.name for r in found for scope in r.scope_metrics for m in scope.metrics}
        return Response(status_code=200)


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    collector = Collector()
    await collector.server.start()
    yield collector
    await collector.server.stop()


async def test_one_trace_leads_from_the_tipping_window_to_the_rollback(
    stack_settings: Settings, collector: Collector
) -> None:
    endpoint = f"http://127.0.0.1:{collector.server.port}"
    settings = stack_settings.model_copy(update={"otlp_endpoint": endpoint})
    cluster = await ensure_topics(settings)
    services = [rollout_control(settings, system_clock), gate_evaluation(settings, system_clock)]
    for service in services:
        await service.start()
    heard: list[Heard] = []
    reader, appender = PublicReader(settings, ["rollouts"], heard.append), Appender(settings)
    await reader.start()
    await appender.start()
    here = partition_of(TARGET)
    key, value, headers = to_kafka(deploy())
    await (await appender.append("deploys", here, key, value, headers))
    await eventually(lambda: any(one.event.type == "stage.entered" for one in heard), "the stage is entered")
    head = genesis(cluster, named(settings, "window-log"), here)
    for number in range(25):
        closed = window(TARGET, number, moment(), canary_slow=0.3)
        state = {"n": number}
        record = Record(head, {}, TARGET, events=(to_json(closed),), patch=state, state=digest_of(state))
        head = digest(encode(record))
        parent = f"00-{TRACE[:-2]}{number:02x}-00f067aa0ba902b7-01".encode()
        await (await appender.append("window-log", here, TARGET.encode(), encode(record), [("traceparent", parent)]))
    await eventually(lambda: any(one.event.type == "rollback.started" for one in heard), "it is rolled back")
    # Said at least once: the same fact may come twice.
    started = next(one for one in heard if one.event.type == "rollback.started")
    for running in (reader, appender, *services):
        await running.stop()
    trace = started.headers["traceparent"].decode().split("-")[1]
    assert trace.startswith(TRACE[:-2])
    names = {(service, name) for service, name, found in collector.spans if found == trace}
    assert names >= {("gate_evaluation", "decide window.closed"), ("rollout_control", "decide stage.judged")}
    assert "penstock.pipeline.duration" in collector.metrics
