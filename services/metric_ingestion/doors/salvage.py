"""What is left of a request that does not parse as a whole: one bad string or point must not cost those beside it."""

from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

_MAY_BE_LOST = {"resource_metrics", "scope_metrics", "metrics", "data_points", "exemplars"}
"""Parts that can be dropped alone. A point minus an attribute would be another point: it is dropped whole."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MOST_VARINT = 10
_DATA = ("gauge", "sum", "histogram", "exponentialHistogram", "exponential_histogram", "summary")

Request = ExportMetricsServiceRequest


class _BrokenError(ValueError):
    """Bytes that are no message of their kind."""


def salvage_protobuf(body: bytes) -> tuple[Request, list[str]]:
    """Return the parts of a body that can be read, and what was lost.

    Raises:
        ValueError: it is no such message at all, or nothing of it can be read.
    """
    losses: list[str] = []
    request = Request()
    try:
        request.ParseFromString(_repair(body, Request.DESCRIPTOR, losses))
    except DecodeError as error:
        raise _BrokenError(str(error)) from None
    if not request.resource_metrics:
        raise _BrokenError("nothing in it can be read")
    return request, losses


def _repair(data: bytes, kind: Descriptor, losses: list[str]) -> bytes:
    out: list[bytes] = []
    for head, field, content in _fields(data, kind):
        if content is None:
            out.append(head)
            continue
        if field is not None and field.type == FieldDescriptor.TYPE_STRING:
            content = _text(content, losses)
        elif field is not None and field.message_type is not None:
            mended = _part(content, field, field.message_type, losses)
            if mended is None:
                continue
            content = mended
        out += (head, _varint_of(len(content)), content)
    return b"".join(out)


def _part(content: bytes, field: FieldDescriptor, kind: Descriptor, losses: list[str]) -> bytes | None:
    try:
        mended = _repair(content, kind, losses)
        GetMessageClass(kind).FromString(mended)
    except (DecodeError, _BrokenError) as error:
        if field.name not in _MAY_BE_LOST:
            raise _BrokenError(str(error)) from None
        losses.append(f"one of {field.name} cannot be read and is left out: {error}")
        return None
    return mended


def _text(content: bytes, losses: list[str]) -> bytes:
    try:
        content.decode()
    except UnicodeDecodeError:
        losses.append("a text is not UTF-8; what cannot be read of it is replaced")
        return content.decode(errors="replace").encode()
    return content


def _fields(data: bytes, kind: Descriptor) -> Iterator[tuple[bytes, FieldDescriptor | None, bytes | None]]:
    """Yield the fields of a message: the bytes before a content of variable length, the field, and the content."""
    place = 0
    while place < len(data):
        begin = place
        tag, place = _varint(data, place)
        number, wire = tag >> 3, tag & 7
        if wire == _BYTES:
            head = data[begin:place]
            length, place = _varint(data, place)
            content = data[place : place + length]
            place += length
            if place > len(data):
                raise _BrokenError("it is cut short")
            yield head, kind.fields_by_number.get(number), content
            continue
        if wire == _VARINT:
            _, place = _varint(data, place)
        elif wire in {_FIXED64, _FIXED32}:
            place += 8 if wire == _FIXED64 else 4
        else:
            raise _BrokenError(f"field {number} has no known form")
        if place > len(data) or not number:
            raise _BrokenError("it is cut short")
        yield data[begin:place], None, None


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(_MOST_VARINT):
        if place + shift >= len(data):
            break
        byte = data[place + shift]
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return value, place + shift + 1
    raise _BrokenError("a number does not end")


def _varint_of(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def salvage_json(document: Any) -> tuple[Request, list[str]]:
    """Return the parts of a JSON document that can be read, and what was lost.

    Raises:
        ValueError: nothing of it can be read.
    """
    losses: list[str] = []
    request = Request()
    for resource in _list(document, "resourceMetrics", "resource_metrics"):
        scopes = [_scope(scope, losses) for scope in _list(resource, "scopeMetrics", "scope_metrics")]
        rest = {key: value for key, value in resource.items() if key not in {"scopeMetrics", "scope_metrics"}}
        whole = {"resourceMetrics": [{**rest, "scopeMetrics": scopes}]}
        if (problem := _problem(whole)) is None:
            ParseDict(whole, request, ignore_unknown_fields=True)
        else:
            losses.append(f"one of resourceMetrics cannot be read and is left out: {problem}")
    if not request.resource_metrics:
        raise _BrokenError("; ".join(losses) or "it has no resourceMetrics")
    return request, losses


def _scope(scope: Any, losses: list[str]) -> dict[str, Any]:
    rest = {key: value for key, value in scope.items() if key != "metrics"} if isinstance(scope, dict) else {}
    if (problem := _problem(_whole([], rest))) is not None:
        losses.append(f"a scope cannot be read and its name is left out: {problem}")
        rest = {}
    metrics = []
    for metric in _list(scope, "metrics"):
        problem = _problem(_whole([metric], {}))
        kept = metric if problem is None else _with_good_points(metric, losses)
        if kept is None:
            losses.append(f"one of metrics cannot be read and is left out: {problem}")
        else:
            metrics.append(kept)
    return {**rest, "metrics": metrics}


def _with_good_points(metric: Any, losses: list[str]) -> dict[str, Any] | None:
    for name in _DATA if isinstance(metric, dict) else ():
        points = _list(metric.get(name), "dataPoints", "data_points")
        if not points:
            continue
        rest = {key: value for key, value in metric[name].items() if key not in {"dataPoints", "data_points"}}
        if _problem(_whole([{**metric, name: rest}], {})) is not None:
            return None
        good = []
        for point in points:
            problem = _problem(_whole([{**metric, name: {**rest, "dataPoints": [point]}}], {}))
            if problem is None:
                good.append(point)
            else:
                losses.append(f"one of dataPoints cannot be read and is left out: {problem}")
        return {**metric, name: {**rest, "dataPoints": good}}
    return None


def _whole(metrics: list[Any], scope: dict[str, Any]) -> dict[str, Any]:
    return {"resourceMetrics": [{"scopeMetrics": [{**scope, "metrics": metrics}]}]}


def _problem(document: dict[str, Any]) -> str | None:
    try:
        ParseDict(document, Request(), ignore_unknown_fields=True)
    except (ParseError, ValueError, TypeError, AttributeError) as error:
        return str(error)
    return None


def _list(value: Any, *names: str) -> list[Any]:
    found = next((value[name] for name in names if name in value), None) if isinstance(value, dict) else None
    return found if isinstance(found, list) else []
