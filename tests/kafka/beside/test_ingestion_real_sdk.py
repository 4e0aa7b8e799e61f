"""The real OpenTelemetry SDK exports to the real door: histograms of both kinds, both temporalities, halves, errors."""

import asyncio
import time
from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

from penstock.events import Cohort, ExponentialHistogram, Halves, Ratio
from penstock.settings import Settings
from services.metric_ingestion.app import MetricIngestion
from services.runtime.kafka.connection import ensure_topics
from services.runtime.process.service import system_clock
from tests.support.metrics.ingestion import (
    TOKEN,
    closed_windows,
    plan_registered,
    requests_of,
    say,
    tokens_file,
    until_watched,
)
from tests.support.metrics.otlp import DURATION, RESOURCE

TEMPORALITIES = [AggregationTemporality.DELTA, AggregationTemporality.CUMULATIVE]


def meter_provider(port: int, temporality: AggregationTemporality) -> MeterProvider:
    """Return a provider that exports twice a second, as an application would be set up."""
    exporter = OTLPMetricExporter(
        f"http://127.0.0.1:{port}/v1/metrics",
        headers={"authorization": f"Bearer {TOKEN}"},
        preferred_temporality={Histogram: temporality, Counter: temporality},
    )
    view = View(instrument_name=DURATION, aggregation=ExponentialBucketHistogramAggregation())
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=500)
    return MeterProvider((reader,), Resource.create(RESOURCE), views=(view,))


@pytest.mark.parametrize("temporality", TEMPORALITIES, ids=["delta", "cumulative"])
async def test_requests_measured_by_the_sdk_come_out_as_windows(
    stack_settings: Settings, tmp_path: Path, temporality: AggregationTemporality
) -> None:
    settings = stack_settings.model_copy(update={"tokens": tokens_file(tmp_path)})
    await ensure_topics(settings)
    await say(settings, "plans", plan_registered())
    service = MetricIngestion(settings, system_clock)
    await service.start()
    try:
        await until_watched(settings)
        sent = await _serve(service.port, temporality)
        windows = await closed_windows(settings, until=sum(sent))
    finally:
        await service.stop()
    assert (requests_of(windows, Cohort.CANARY), requests_of(windows, Cohort.BASELINE)) == sent
    ratios = [w.measures[Cohort.CANARY]["errors"] for w in windows if Cohort.CANARY in w.measures]
    assert sum(r.events for r in ratios if isinstance(r, Ratio)) == sent[0] / 5
    latencies = [w.measures[Cohort.CANARY]["p99"] for w in windows if Cohort.CANARY in w.measures]
    assert all(isinstance(h, ExponentialHistogram) and sum(h.counts) + h.zero_count == h.count for h in latencies)
    assert Halves.ATTRIBUTE in {w.halves for w in windows}
    assert requests_of(windows, Cohort.A) + requests_of(windows, Cohort.B) == sent[1]


async def _serve(port: int, temporality: AggregationTemporality) -> tuple[int, int]:
    """Measure requests for some seconds; return how many of canary and baseline must be in the windows."""
    provider = meter_provider(port, temporality)
    durations = provider.get_meter("shop").create_histogram(DURATION, "s")
    # A process that began while it was watched counts whole, whatever its temporality.
    _measure(durations)
    await asyncio.sleep(1.2)
    rounds, until = 1, time.monotonic() + 2.5
    while time.monotonic() < until:
        for _ in range(5):
            _measure(durations)
            rounds += 1
        await asyncio.sleep(0.05)
    await asyncio.to_thread(provider.shutdown)
    return 5 * rounds, 10 * rounds


def _measure(durations: object) -> None:
    for place in range(15):
        on = place < 5
        attributes = {
            "feature_flag.key": "banner",
            "feature_flag.result.variant": "on" if on else "off",
            "http.response.status_code": 503 if place == 0 else 200,
            **({} if on else {"penstock.half": "a" if place % 3 else "b"}),
        }
        durations.record(0.01 * (1 + place), attributes)  # type: ignore[attr-defined]
