"""The AsyncAPI 3 document of the public topics, derived from the table of topics and the events."""

from typing import Any

from penstock.events import ADAPTER, BY_TYPE, Event
from penstock.events.cdevents.model import cdevents_type
from penstock.topics import TOPICS, Kind, Topic

Document = dict[str, Any]

_SHOWN = (Kind.INTAKE, Kind.PUBLIC, Kind.STATE, Kind.DEAD_LETTERS)
_IN_CONTEXT = Event.ENVELOPE - {"actor"}
_DEAD_LETTER = {
    "origin-topic": "Topic that the record stood in.",
    "origin-partition": "Its partition.",
    "origin-offset": "Its offset.",
    "service": "Service that could not take it.",
    "reason": "Why, for people.",
}
_REDRIVEN = {
    "cut": "There where the value is only the beginning of the record.",
    "redriven-by": "There where this is no letter but the mark that one was redriven: who redrove it.",
    "redriven-reason": "Of a mark: why.",
    "redriven-to": "Of a mark: where the input is now, topic/partition@offset.",
}


def document(version: str) -> Document:
    """Return the AsyncAPI document, JSON values.

    Args:
        version: of the contract, for `info.version`.
    """
    shown = [topic for topic in TOPICS if topic.kind in _SHOWN and _messages(topic)]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Penstock",
            "version": version,
            "description": "Every transition of a rollout, as events on Kafka. Records are CloudEvents 1.0 in binary "
            "mode; their value is a CDEvent. Delivery is at least once: a repeated record has the same ce_id.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {topic.name: _channel(topic) for topic in shown},
        "operations": {_operation_name(topic): _operation(topic) for topic in shown},
        "components": {
            "messages": {name: _message(kind) for name, kind in sorted(BY_TYPE.items()) if _is_said(name)}
            | {"service.deployed": _service_deployed(), "dead-letter": _dead_letter(), "otlp": _otlp()},
            "messageTraits": {"cloudevent": {"headers": _headers()}},
            "schemas": _schemas(),
        },
    }


def _is_said(event_type: str) -> bool:
    return any(event_type in topic.carries for topic in TOPICS)


def _messages(topic: Topic) -> tuple[str, ...]:
    match topic.name:
        case "deploy-intake":
            return ("service.deployed",)
        case "otlp_metrics":
            return ("otlp",)
        case "dead-letters":
            return ("dead-letter",)
        case _:
            return topic.carries


def _channel(topic: Topic) -> Document:
    written, read = ", ".join(topic.producers), ", ".join(topic.consumers)
    return {
        "address": topic.name,
        "description": f"Key: {topic.key}. Written by {written}, read by {read}.",
        "messages": {_key(name): {"$ref": f"#/components/messages/{name}"} for name in _messages(topic)},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": {
                    "cleanup.policy": [topic.config()["cleanup.policy"]],
                    "retention.ms": topic.retention_ms,
                },
                "bindingVersion": "0.5.0",
            }
        },
    }


def _operation_name(topic: Topic) -> str:
    return f"{'hear' if topic.kind is Kind.INTAKE else 'say'}-{topic.name}"


def _operation(topic: Topic) -> Document:
    return {
        "action": "receive" if topic.kind is Kind.INTAKE else "send",
        "channel": {"$ref": f"#/channels/{topic.name}"},
        "messages": [{"$ref": f"#/channels/{topic.name}/messages/{_key(name)}"} for name in _messages(topic)],
    }


def _key(name: str) -> str:
    # Dots are legal in channel message ids, but code generators make names of them.
    return name.replace(".", "-")


def _message(kind: type[Event]) -> Document:
    name = kind.model_fields["type"].default
    return {
        "name": cdevents_type(name),
        "title": kind.__name__,
        "summary": (kind.__doc__ or "").strip().splitlines()[0],
        "contentType": "application/json",
        "traits": [{"$ref": "#/components/messageTraits/cloudevent"}],
        "correlationId": {"location": "$message.header#/ce_correlationid"},
        "payload": _payload(cdevents_type(name), kind),
        "bindings": {"kafka": {"key": {"type": "string"}, "bindingVersion": "0.5.0"}},
    }


def _payload(said_as: str, kind: type[Event]) -> Document:
    text = {"type": "string"}
    return {
        "type": "object",
        "required": ["context", "subject"],
        "properties": {
            "context": {
                "type": "object",
                "required": ["specversion", "id", "source", "type", "timestamp"],
                "properties": {
                    "specversion": text,
                    "id": text,
                    "source": text,
                    "type": {"const": said_as},
                    "timestamp": {"type": "string", "format": "date-time"},
                    "chainId": {**text, "description": "The rollout."},
                    "links": {"type": "array", "items": {"type": "object"}, "description": "PATH: the causing event."},
                },
            },
            "subject": {
                "type": "object",
                "required": ["id", "content"],
                "properties": {
                    "id": {**text, "description": "The target: environment/service/flag."},
                    "content": {"$ref": f"#/components/schemas/{kind.__name__}"},
                },
            },
        },
    }


def _schemas() -> Document:
    """Return the schema of every event's content and of its parts; what CDEvents keeps in its context is taken out."""
    schema = ADAPTER.json_schema(ref_template="#/components/schemas/{model}")
    schemas: Document = schema["$defs"]
    events = {kind.__name__ for kind in BY_TYPE.values()}
    for name in events & set(schemas):
        body = schemas[name]
        body["properties"] = {key: value for key, value in body["properties"].items() if key not in _IN_CONTEXT}
        body["required"] = [key for key in body.get("required", []) if key not in _IN_CONTEXT]
        if not body["required"]:
            del body["required"]
    silent = {kind.__name__ for name, kind in BY_TYPE.items() if not _is_said(name)}
    return {name: _plain(body) for name, body in sorted(schemas.items()) if name not in silent}


def _plain(node: Any) -> Any:
    # pydantic writes OpenAPI's discriminator object, which AsyncAPI does not know; oneOf with constants says the same.
    if isinstance(node, dict):
        openapi = isinstance(node.get("discriminator"), dict) and "oneOf" in node
        return {key: _plain(value) for key, value in node.items() if not (openapi and key == "discriminator")}
    return [_plain(value) for value in node] if isinstance(node, list) else node


def _headers() -> Document:
    required = ("specversion", "id", "source", "type", "time", "subject", "partitionkey")
    optional = ("correlationid", "causationid", "authid", "sequence")
    text = {"type": "string"}
    return {
        "type": "object",
        "required": [f"ce_{name}" for name in required],
        "properties": {
            **{f"ce_{name}": text for name in (*required, *optional)},
            "traceparent": text,
            "penstock-position": {**text, "description": "partition:offset:index of the decision in its private log"},
        },
    }


def _service_deployed() -> Document:
    return {
        "name": "dev.cdevents.service.deployed",
        "title": "ServiceDeployed",
        "summary": "A CDEvent 0.4 or 0.5 of any CI: binary or structured CloudEvent, or bare JSON; any key.",
        "contentType": "application/json",
        "payload": {"type": "object", "required": ["context", "subject"]},
    }


def _dead_letter() -> Document:
    properties = {name: {"type": "string", "description": said} for name, said in {**_DEAD_LETTER, **_REDRIVEN}.items()}
    return {
        "name": "dead-letter",
        "title": "DeadLetter",
        "summary": "A record that could not be taken, its value unchanged.",
        "contentType": "application/octet-stream",
        "headers": {"type": "object", "required": list(_DEAD_LETTER), "properties": properties},
        "payload": {},
    }


def _otlp() -> Document:
    return {
        "name": "otlp",
        "title": "OtlpMetrics",
        "summary": "ExportMetricsServiceRequest from the OpenTelemetry Collector's Kafka exporter (otlp_proto).",
        "contentType": "application/x-protobuf",
        "payload": {},
    }
