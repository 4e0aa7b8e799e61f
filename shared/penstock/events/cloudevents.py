"""CloudEvents 1.0 around CDEvents: binary on Kafka for our own events; binary, structured and batch from everybody."""

import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from penstock.errors import InvalidError, Problem
from penstock.events import Event
from penstock.events.cdevents.model import from_cdevent, to_cdevent, type_of

JSON = "application/json"
STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"

_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder()

Headers = Sequence[tuple[str, bytes | None]]


@dataclass(frozen=True)
class CloudEvent:
    """Somebody's event: its attributes (without data), all text, and its data as JSON values."""

    attributes: Mapping[str, str]
    data: Any


def attributes_of(event: Event) -> dict[str, str]:
    """Return the CloudEvents attributes of one of our events, extensions included."""
    attributes = {
        "specversion": "1.0",
        "id": event.id,
        "source": event.source,
        "type": type_of(event),
        "time": event.model_dump(mode="json", include={"time"})["time"],
        "subject": event.target,
        "partitionkey": event.target,
    }
    sequence = getattr(event, "sequence", None)
    optional = {
        "correlationid": event.rollout,
        "causationid": event.cause,
        "authid": event.actor,
        "sequence": str(sequence) if sequence is not None else None,
    }
    return attributes | {name: value for name, value in optional.items() if value is not None}


def to_kafka(
    event: Event, extra_headers: Mapping[str, bytes] | None = None
) -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
    """Return key (the target), value (a CDEvent) and headers of the event's record, in binary mode."""
    headers = [("content-type", JSON.encode())]
    headers += [(f"ce_{name}", value.encode()) for name, value in attributes_of(event).items()]
    headers += list((extra_headers or {}).items())
    return event.target.encode(), _ENCODER.encode(to_cdevent(event)), headers


def from_kafka(value: bytes, headers: Headers) -> Event:
    """Return our event of `to_kafka`'s form; structured and bare CDEvents of ours are read as well.

    Raises:
        InvalidError: not ours, or fields that break the contract; every problem is listed.
    """
    return from_cdevent(parse_kafka(value, headers).data)


def to_structured(event: Event) -> dict[str, Any]:
    """Return the event in structured mode, JSON values."""
    return {**attributes_of(event), "datacontenttype": JSON, "data": to_cdevent(event)}


def to_http(event: Event) -> tuple[dict[str, str], bytes]:
    """Return headers and body of the event in binary mode over HTTP."""
    headers = {f"ce-{name}": header_text(value) for name, value in attributes_of(event).items()}
    return {"content-type": JSON, **headers}, _ENCODER.encode(to_cdevent(event))


def parse_kafka(value: bytes, headers: Headers) -> CloudEvent:
    """Return a record's event: binary, structured, or bare CDEvent JSON without any header.

    Headers that are null or not UTF-8 are passed over, unless they are CloudEvents attributes.

    Raises:
        InvalidError: no such form; every problem is listed.
    """
    problems: list[Problem] = []
    texts: dict[str, str] = {}
    for name, raw in headers:
        name = name.lower()
        if not name.startswith("ce_") and name != "content-type":
            continue
        try:
            texts[name] = (raw or b"").decode()
        except UnicodeDecodeError:
            problems.append(Problem(name, "is not UTF-8"))
    if problems:
        raise InvalidError("record", problems)
    kind = _media_type(texts.get("content-type"))
    attributes = {name[3:]: text for name, text in texts.items() if name.startswith("ce_")}
    return _parsed(value, kind, attributes if kind != STRUCTURED else {})


def parse_http(body: bytes, headers: Iterable[tuple[str, str]]) -> list[CloudEvent | InvalidError]:
    """Return the events of a request: one, or each of a batch, with what is wrong in place of those that are wrong.

    Raises:
        InvalidError: the body as a whole cannot be read.
    """
    texts = {name.lower(): value for name, value in headers}
    kind = _media_type(texts.get("content-type"))
    if kind == BATCH:
        members = _json(body)
        if not isinstance(members, list):
            raise InvalidError("batch", [Problem("", "a batch is a JSON array of CloudEvents")])
        return [_member(member, place) for place, member in enumerate(members)]
    attributes = {name[3:]: urllib.parse.unquote(text) for name, text in texts.items() if name.startswith("ce-")}
    return [_parsed(body, kind, attributes if kind != STRUCTURED else {})]


def _member(member: Any, place: int) -> CloudEvent | InvalidError:
    try:
        return structured(member)
    except InvalidError as error:
        return InvalidError("event", [Problem(f"{place}.{p.where}".rstrip("."), p.what) for p in error.problems])


def _parsed(body: bytes, kind: str, attributes: Mapping[str, str]) -> CloudEvent:
    document = _json(body)
    if attributes:
        return CloudEvent(_checked(attributes), document)
    if kind == STRUCTURED or (isinstance(document, dict) and "specversion" in document):
        return structured(document)
    if isinstance(document, dict) and "context" in document:
        return CloudEvent({}, document)
    raise InvalidError(
        "event", [Problem("", "is neither a CloudEvent (binary or structured) nor a bare CDEvent with `context`")]
    )


def structured(document: Any) -> CloudEvent:
    """Return the event of a structured-mode document.

    Raises:
        InvalidError: no such form; every problem is listed.
    """
    if not isinstance(document, dict):
        raise InvalidError("event", [Problem("", "a structured CloudEvent is a JSON object")])
    attributes = {
        str(name): str(value)
        for name, value in document.items()
        if name not in {"data", "data_base64"} and value is not None
    }
    if "data_base64" in document:
        raise InvalidError("event", [Problem("data_base64", "is not taken here: send JSON in `data`")])
    return CloudEvent(_checked(attributes), document.get("data"))


def _checked(attributes: Mapping[str, str]) -> Mapping[str, str]:
    problems = [
        Problem(name, "is missing or empty: CloudEvents require it")
        for name in ("id", "source", "type", "specversion")
        if not attributes.get(name)
    ]
    version = attributes.get("specversion")
    if version and version != "1.0":
        problems.append(Problem("specversion", f"{version!r} is not supported; CloudEvents 1.0 is"))
    if problems:
        raise InvalidError("event", problems)
    return attributes


def _json(body: bytes) -> Any:
    try:
        return _DECODER.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidError("event", [Problem("", f"is not JSON: {error}")]) from None


def _media_type(content_type: str | None) -> str:
    return (content_type or "").partition(";")[0].strip().lower()


def header_text(text: str) -> str:
    """Return the text as HTTP headers carry it: what is not printable ASCII, quote and percent sign are escaped."""
    return "".join(c if "!" <= c <= "~" and c not in '"%' else urllib.parse.quote(c, safe="") for c in text)
