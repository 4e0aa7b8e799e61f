"""Telemetry that is on: spans and latency histograms sent by OTLP/HTTP. Imported only where it is configured."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from penstock import __version__
from penstock.telemetry import Carrier, Telemetry

_propagator = TraceContextTextMapPropagator()


class OtelTelemetry(Telemetry):
    """Spans below the trace context that came in, and one histogram for the stations of the pipeline."""

    def __init__(self, service: str, endpoint: str, instance: str) -> None:
        resource = Resource.create(
            {
                "service.namespace": "penstock",
                "service.name": service,
                "service.version": __version__,
                "service.instance.id": instance,
            }
        )
        base = endpoint.rstrip("/")
        self._traces = TracerProvider(resource=resource)
        self._traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{base}/v1/traces")))
        reader = PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=f"{base}/v1/metrics"))
        self._metrics = MeterProvider(resource=resource, metric_readers=[reader])
        self._tracer = self._traces.get_tracer("penstock", __version__)
        self._meter = self._metrics.get_meter("penstock", __version__)
        self._levels: dict[str, Any] = {}
        self._counters: dict[str, Any] = {}
        self._elapsed = self._meter.create_histogram(
            "penstock.pipeline.duration", unit="s", description="Time between two stations of the pipeline."
        )

    @contextmanager
    def span(
        self, name: str, parent: Mapping[str, str] | None = None, attributes: Mapping[str, Any] | None = None
    ) -> Iterator[Carrier]:
        """Run a block as a span below `parent`; yields the context to hand on."""
        context = _propagator.extract(dict(parent or {}))
        with self._tracer.start_as_current_span(name, context=context, attributes=dict(attributes or {})):
            carrier: Carrier = {}
            _propagator.inject(carrier)
            yield carrier

    def elapsed(self, stage: str, seconds: float) -> None:
        """Record the time that a value took from one station of the pipeline to the next."""
        self._elapsed.record(seconds, {"penstock.stage": stage})

    def level(self, what: str, value: float) -> None:
        """Record how high something stands now, as the gauge `penstock.<what>`."""
        if what not in self._levels:
            self._levels[what] = self._meter.create_gauge(f"penstock.{what}")
        self._levels[what].set(value)

    def count(self, what: str, more: int, attributes: Mapping[str, str]) -> None:
        """Add to the counter `penstock.<what>`."""
        if what not in self._counters:
            self._counters[what] = self._meter.create_counter(f"penstock.{what}")
        self._counters[what].add(more, {f"penstock.{name}": value for name, value in attributes.items()})

    def close(self) -> None:
        """Send what is buffered."""
        self._traces.shutdown()
        self._metrics.shutdown()
