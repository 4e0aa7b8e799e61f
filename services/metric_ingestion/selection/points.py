"""The points of a metric, kind by kind: traits, point, and what it holds; malformed ones are reported and left out."""

from collections.abc import Callable, Iterator
from typing import Any

from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, Metric

from services.metric_ingestion.doors.otlp_messages import (
    DEFAULT_BOUNDS,
    MalformedPointError,
    explicit_of,
    exponential_of,
    number_of,
)
from services.metric_ingestion.selection.match import Form, Traits
from services.metric_ingestion.windows.frames import Temporality
from services.metric_ingestion.windows.values import Explicit, Exponential, Number

_TEMPORALITIES = {
    AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA: Temporality.DELTA,
    AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE: Temporality.CUMULATIVE,
}

Report = Callable[[str], None]


def points_of(
    metric: Metric, reject: Report, warn: Report
) -> Iterator[tuple[Traits, Any, Number | Explicit | Exponential]]:
    """Yield the points of a metric.

    Args:
        reject: called with the reason why a point is left out; warn: called with what cannot be judged at all.
    """
    form = metric.WhichOneof("data") or ""
    read = {"sum": _number, "gauge": _number, "histogram": _explicit, "exponential_histogram": _exponential}.get(form)
    if read is None:
        warn(f"a {form or 'metric without data'} cannot be judged")
        return
    data = getattr(metric, form)
    temporality = Temporality.LEVEL if form == "gauge" else _TEMPORALITIES.get(data.aggregation_temporality)
    for point in data.data_points:
        try:
            if temporality is None:
                raise MalformedPointError("its temporality is not stated")
            if not point.time_unix_nano:
                raise MalformedPointError("a point has no time")
            found = read(metric, data, point, temporality)
        except MalformedPointError as error:
            reject(str(error))
            continue
        if found is not None:
            yield found


def _number(metric: Metric, data: Any, point: Any, temporality: Temporality) -> tuple[Traits, Any, Number] | None:
    value = number_of(point)
    if value is None:
        return None
    if temporality is Temporality.LEVEL:
        return Traits(Form.LEVEL, metric.unit, temporality), point, value
    if data.is_monotonic:
        if value < 0:
            raise MalformedPointError("a counter is negative")
        return Traits(Form.COUNTER, metric.unit, temporality), point, value
    if temporality is Temporality.CUMULATIVE:
        return Traits(Form.LEVEL, metric.unit, Temporality.LEVEL), point, value
    return Traits(Form.CHANGE, metric.unit, temporality), point, value


def _explicit(metric: Metric, data: Any, point: Any, temporality: Temporality) -> tuple[Traits, Any, Explicit] | None:
    value = explicit_of(point)
    if value is None:
        return None
    traits = Traits(
        Form.EXPLICIT,
        metric.unit,
        temporality,
        default_edges=value.bounds == DEFAULT_BOUNDS,
        no_edges=not value.bounds,
        no_sum=not point.HasField("sum"),
    )
    return traits, point, value


def _exponential(
    metric: Metric, data: Any, point: Any, temporality: Temporality
) -> tuple[Traits, Any, Exponential] | None:
    value = exponential_of(point)
    if value is None:
        return None
    negative = any(point.negative.bucket_counts)
    traits = Traits(Form.EXPONENTIAL, metric.unit, temporality, no_sum=not point.HasField("sum"), negative=negative)
    return traits, point, value
