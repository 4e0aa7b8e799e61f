"""Parses OTLP into plain values: requests in protobuf or JSON, attributes as text, and each kind of point."""

import json as json_module
import math
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise
from typing import Any

import msgspec
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    NumberDataPoint,
)

from penstock.errors import InvalidError, Problem
from services.metric_ingestion.doors.salvage import salvage_json, salvage_protobuf
from services.metric_ingestion.windows.values import Explicit, Exponential, Number

NO_RECORDED_VALUE = 1
DEFAULT_BOUNDS = (0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000)
"""The SDK's default edges: made for milliseconds, blind in seconds."""

_MOST_POINT_BUCKETS = 4096
_MOST_EVENTS = 1 << 48
_LARGEST = 1e100
"""Beyond these nothing is measured, but sums of it would leave the numbers that a record can hold."""

_WIDEST = 1100
"""Powers of two that a double spans, a little more: no bucket of real values lies outside."""


_UNREADABLE = (DecodeError, ParseError, msgspec.DecodeError, RecursionError, ValueError, TypeError, AttributeError)
"""protobuf's JSON reader raises whatever Python raises where a value has another type than it expects."""


class MalformedPointError(ValueError):
    """A point that contradicts itself; it is left out and counted as rejected."""


def parse(body: bytes, json: bool) -> ExportMetricsServiceRequest:
    """Return the request of a body.

    Raises:
        InvalidError: the body is no such request.
    """
    return parse_partly(body, json)[0]


def parse_partly(body: bytes, json: bool) -> tuple[ExportMetricsServiceRequest, list[str]]:
    """Return the request of a body, and what of it could not be read and is left out.

    Raises:
        InvalidError: the body is no such request.
    """
    try:
        return _parse_json(body) if json else _parse_protobuf(body)
    except _UNREADABLE as error:
        form = "OTLP JSON" if json else "OTLP protobuf"
        raise InvalidError("metrics request", [Problem("", f"is not {form}: {error}")]) from None


def _parse_protobuf(body: bytes) -> tuple[ExportMetricsServiceRequest, list[str]]:
    request = ExportMetricsServiceRequest()
    try:
        request.ParseFromString(body)
    except DecodeError:
        return salvage_protobuf(body)
    return request, []


def _parse_json(body: bytes) -> tuple[ExportMetricsServiceRequest, list[str]]:
    # Exemplars carry trace ids in hex, where protobuf's JSON expects base64; nothing here reads them.
    losses: list[str] = []
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = body.decode(errors="replace")
        losses.append("a text is not UTF-8; what cannot be read of it is replaced")
    document = _without_exemplars(_json_of(text))
    if not isinstance(document, dict):
        raise ParseError("a request is a JSON object")
    request = ExportMetricsServiceRequest()
    try:
        ParseDict(document, request, ignore_unknown_fields=True)
    except (ParseError, ValueError, TypeError, AttributeError):
        request, lost = salvage_json(document)
        losses += lost
    return request, losses


def _json_of(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        # Half of a surrogate pair, or NaN as a bare word: the parts beside them can still be read.
        return json_module.loads(text)


def _without_exemplars(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_exemplars(inner) for key, inner in value.items() if key != "exemplars"}
    if isinstance(value, list):
        return [_without_exemplars(inner) for inner in value]
    return value


def answer(rejected: int, message: str) -> ExportMetricsServiceResponse:
    """Return the response that reports how many points were left out, and why."""
    response = ExportMetricsServiceResponse()
    if rejected or message:
        response.partial_success.rejected_data_points = rejected
        response.partial_success.error_message = message
    return response


def attributes(pairs: Iterable[KeyValue]) -> dict[str, str]:
    """Return attributes as text: a status code of 503 reads `503`, a boolean `true`."""
    return {pair.key: _text(pair.value) for pair in pairs}


def _text(value: AnyValue) -> str:
    # Nearly all are text: asking which kind it is costs more than looking.
    if text := value.string_value:
        return str(text)
    match value.WhichOneof("value"):
        case "int_value":
            return str(value.int_value)
        case "bool_value":
            return "true" if value.bool_value else "false"
        case "double_value":
            return repr(value.double_value)
        case "array_value":
            return ",".join(_text(inner) for inner in value.array_value.values)
        case _:
            return ""


def number_of(point: NumberDataPoint) -> Number | None:
    """Return the number of a point, None where the point is flagged as not recorded.

    Raises:
        MalformedPointError: not a number that can be added up.
    """
    if point.flags & NO_RECORDED_VALUE:
        return None
    match point.WhichOneof("value"):
        case "as_int":
            return int(point.as_int) if abs(point.as_int) <= _MOST_EVENTS else float(point.as_int)
        case "as_double":
            return _check_finite(point.as_double, "a value")
        case _:
            raise MalformedPointError("a point has no value")


def explicit_of(point: HistogramDataPoint) -> Explicit | None:
    """Return the histogram of a point, None where the point is flagged as not recorded.

    Raises:
        MalformedPointError: its buckets contradict its edges or its count.
    """
    if point.flags & NO_RECORDED_VALUE:
        return None
    bounds, counts = tuple(point.explicit_bounds), tuple(point.bucket_counts)
    if not counts and not bounds:
        counts = (point.count,)
    if len(counts) != len(bounds) + 1 or len(counts) > _MOST_POINT_BUCKETS:
        raise MalformedPointError(f"a histogram has {len(counts)} buckets for {len(bounds)} edges")
    if sum(counts) != point.count or point.count > _MOST_EVENTS:
        raise MalformedPointError(f"a histogram's buckets hold {sum(counts)}, its count is {point.count}")
    if not _rise(bounds):
        raise MalformedPointError("a histogram's edges do not rise, or are not finite")
    return Explicit(point.count, _sum_of(point), bounds, counts)


@lru_cache(maxsize=256)
def _rise(bounds: tuple[float, ...]) -> bool:
    # Sources send the same edges with every point.
    return all(low < high for low, high in pairwise(bounds)) and all(map(math.isfinite, bounds))


def exponential_of(point: ExponentialHistogramDataPoint) -> Exponential | None:
    """Return the histogram of a point, None where the point is flagged as not recorded.

    Raises:
        MalformedPointError: its buckets contradict its count.
    """
    if point.flags & NO_RECORDED_VALUE:
        return None
    counts = tuple(point.positive.bucket_counts)
    if len(counts) > _MOST_POINT_BUCKETS or not -10 <= point.scale <= 20:
        raise MalformedPointError(f"a histogram has {len(counts)} buckets at scale {point.scale}")
    held = sum(counts) + sum(point.negative.bucket_counts) + point.zero_count
    if held != point.count or held > _MOST_EVENTS:
        raise MalformedPointError(f"a histogram's buckets hold {held}, its count is {point.count}")
    first = point.positive.offset
    widest = _WIDEST << point.scale if point.scale >= 0 else (_WIDEST >> -point.scale) + 1
    if first < -widest or first + len(counts) > widest:
        raise MalformedPointError("a histogram's buckets lie beyond every number")
    return Exponential(point.count, _sum_of(point), point.scale, point.zero_count, first, counts)


def _sum_of(point: HistogramDataPoint | ExponentialHistogramDataPoint) -> float:
    if not point.HasField("sum"):
        return 0.0
    return _check_finite(point.sum, "a histogram's sum")


def _check_finite(value: float, what: str) -> float:
    # Written so that NaN fails it, too.
    if not abs(value) <= _LARGEST:
        raise MalformedPointError(f"{what} is not a number that can be added up")
    return float(value)
