"""Telemetry by hand: OTLP requests with exact counts, as the OpenTelemetry SDK would send them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric, ResourceMetrics

SECOND = 10**9
DURATION = "http.server.request.duration"
DELTA, CUMULATIVE = 1, 2

RESOURCE = {
    "service.name": "shop",
    "deployment.environment.name": "staging",
    "service.instance.id": "shop-1",
}

Text = str | int | bool | float


def pairs(attributes: Mapping[str, Text]) -> list[KeyValue]:
    """Return OTLP attributes."""
    return [KeyValue(key=key, value=_any(value)) for key, value in attributes.items()]


def _any(value: Text) -> AnyValue:
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case _:
            return AnyValue(string_value=value)


def variant(name: str, flag: str = "banner", **more: Text) -> dict[str, Text]:
    """Return the attributes of a request that got this variant."""
    return {"feature_flag.key": flag, "feature_flag.result.variant": name, **more}


@dataclass
class Export:
    """One export of one process, built metric by metric.

    Attributes:
        time, start: Unix nanoseconds of every point.
    """

    time: int
    start: int = 0
    resource: Mapping[str, Text] = field(default_factory=lambda: dict(RESOURCE))
    metrics: list[Metric] = field(default_factory=list)

    def counter(
        self, name: str, value: float, attributes: Mapping[str, Text], temporality: int = DELTA, monotonic: bool = True
    ) -> "Export":
        """Add a point of a sum."""
        metric = Metric(name=name)
        metric.sum.aggregation_temporality = temporality
        metric.sum.is_monotonic = monotonic
        self._point(metric.sum.data_points.add(), attributes, value)
        return self._with(metric)

    def gauge(self, name: str, value: float, attributes: Mapping[str, Text]) -> "Export":
        """Add a point of a gauge."""
        metric = Metric(name=name)
        self._point(metric.gauge.data_points.add(), attributes, value)
        return self._with(metric)

    def histogram(
        self,
        counts: Sequence[int],
        attributes: Mapping[str, Text],
        bounds: Sequence[float] = (0.1, 0.5),
        temporality: int = DELTA,
        name: str = DURATION,
        unit: str = "s",
    ) -> "Export":
        """Add a point of an explicit histogram."""
        metric = Metric(name=name, unit=unit)
        metric.histogram.aggregation_temporality = temporality
        point = metric.histogram.data_points.add()
        self._point(point, attributes)
        point.bucket_counts.extend(counts)
        point.explicit_bounds.extend(bounds)
        point.count, point.sum = sum(counts), float(sum(counts))
        return self._with(metric)

    def exponential(
        self,
        counts: Sequence[int],
        attributes: Mapping[str, Text],
        scale: int = 3,
        offset: int = 0,
        temporality: int = DELTA,
        name: str = DURATION,
        zero: int = 0,
    ) -> "Export":
        """Add a point of an exponential histogram."""
        metric = Metric(name=name, unit="s")
        metric.exponential_histogram.aggregation_temporality = temporality
        point = metric.exponential_histogram.data_points.add()
        self._point(point, attributes)
        point.scale, point.zero_count = scale, zero
        point.positive.offset = offset
        point.positive.bucket_counts.extend(counts)
        point.count, point.sum = sum(counts) + zero, float(sum(counts))
        return self._with(metric)

    def request(self) -> ExportMetricsServiceRequest:
        """Return the whole export."""
        return request(self)

    def _with(self, metric: Metric) -> "Export":
        self.metrics.append(metric)
        return self

    def _point(self, point: object, attributes: Mapping[str, Text], value: float | None = None) -> None:
        point.time_unix_nano, point.start_time_unix_nano = self.time, self.start  # type: ignore[attr-defined]
        point.attributes.extend(pairs(attributes))  # type: ignore[attr-defined]
        if isinstance(value, int):
            point.as_int = value  # type: ignore[attr-defined]
        elif value is not None:
            point.as_double = value  # type: ignore[attr-defined]


def request(*exports: Export) -> ExportMetricsServiceRequest:
    """Return one request with these exports."""
    whole = ExportMetricsServiceRequest()
    for export in exports:
        part = ResourceMetrics()
        part.resource.attributes.extend(pairs(export.resource))
        part.scope_metrics.add().metrics.extend(export.metrics)
        whole.resource_metrics.append(part)
    return whole
