"""How the shop measures itself: the OpenTelemetry SDK, exponential histograms, deltas, every half second over OTLP."""

import hashlib
from dataclasses import dataclass, field

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.metrics import Counter as CounterInstrument
from opentelemetry.metrics import Histogram as HistogramInstrument
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

from .features import BASELINE, ENVIRONMENT, SERVICE, Feature

EXPORT_MS = 500
"""Half of the plans' windows, so that every window holds an export whatever its phase."""
_SCALE = 5
"""Edges 2.2 % apart, over a range of 1 to 32: finer costs buckets, coarser costs precision of the tolerance."""


@dataclass(frozen=True)
class Measured:
    """The shop's instruments."""

    provider: MeterProvider
    duration: HistogramInstrument
    users: CounterInstrument
    seen: set[tuple[str, str, str]] = field(default_factory=set)

    def request(self, feature: Feature, variant: str, user: str, status: int, seconds: float) -> None:
        """Record one finished request, by what its user really got."""
        flag = {"feature_flag.key": feature.flag, "feature_flag.result.variant": variant}
        if variant == BASELINE:
            flag["penstock.half"] = half_of(user)
        request: dict[str, str | int] = {
            "http.request.method": "GET",
            "http.route": feature.route,
            "http.response.status_code": status,
        }
        self.duration.record(seconds, {**request, **flag})
        if (feature.flag, variant, user) not in self.seen:
            self.seen.add((feature.flag, variant, user))
            self.users.add(1, flag)


def half_of(user: str) -> str:
    """Return the user's half of the permanent A/A split of the baseline."""
    return "ab"[hashlib.blake2b(user.encode(), digest_size=1, person=b"half").digest()[0] % 2]


def measured(endpoint: str, instance: str) -> Measured:
    """Return instruments that export to `endpoint`, the base address of an OTLP/HTTP receiver."""
    exporter = OTLPMetricExporter(
        f"{endpoint.rstrip('/')}/v1/metrics",
        timeout=5,
        preferred_temporality={
            Histogram: AggregationTemporality.DELTA,
            Counter: AggregationTemporality.DELTA,
        },
    )
    resource = Resource.create(
        {
            "service.name": SERVICE,
            "service.version": "2.3.9",
            "service.instance.id": instance,
            "deployment.environment.name": ENVIRONMENT,
        }
    )
    exponential = View(
        instrument_name="http.server.request.duration",
        aggregation=ExponentialBucketHistogramAggregation(max_size=160, max_scale=_SCALE),
    )
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=EXPORT_MS, export_timeout_millis=5_000)
    provider = MeterProvider((reader,), resource, views=(exponential,))
    meter = provider.get_meter("shop")
    return Measured(
        provider,
        meter.create_histogram("http.server.request.duration", "s", "Duration of HTTP server requests."),
        meter.create_counter("shop.users", "{user}", "Users who got this variant for the first time."),
    )
