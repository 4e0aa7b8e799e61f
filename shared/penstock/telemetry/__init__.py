"""Our own traces and histograms, through the OpenTelemetry SDK where it is configured; free of cost where not."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from penstock.settings import Settings

Carrier = dict[str, str]
"""W3C trace context: `traceparent`, and `tracestate` where there is one."""


class Telemetry:
    """Telemetry of one service. This one is off: it hands trace context on and measures nothing."""

    @staticmethod
    def of(service: str, settings: Settings) -> "Telemetry":
        """Return the telemetry that the settings ask for."""
        if settings.otlp_endpoint is None:
            return Telemetry()
        from penstock.telemetry.otel import OtelTelemetry

        return OtelTelemetry(service, settings.otlp_endpoint, settings.instance)

    @contextmanager
    def span(
        self, name: str, parent: Mapping[str, str] | None = None, attributes: Mapping[str, Any] | None = None
    ) -> Iterator[Carrier]:
        """Run a block as a span below `parent`; yields the context to hand on."""
        yield dict(parent or {})

    def decided(self, item: Any) -> dict[str, bytes]:
        """Return the headers of a record decided on this input (None for a record that only moves the cursor)."""
        if item is None:
            return {}
        name = item.events[0].type if item.events else item.source
        with self.span(f"decide {name}", item.headers, _attributes(item)) as carrier:
            return {key: value.encode() for key, value in carrier.items()}

    def elapsed(self, stage: str, seconds: float) -> None:
        """Record the time that a value took from one station of the pipeline to the next."""

    def level(self, what: str, value: float) -> None:
        """Record how high something stands now, such as the number of parked targets."""

    def count(self, what: str, more: int, attributes: Mapping[str, str]) -> None:
        """Add to a counter, such as that of denied attempts."""

    def close(self) -> None:
        """Send what is buffered."""


def _attributes(item: Any) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "messaging.system": "kafka",
        "messaging.destination.name": item.source,
        "messaging.kafka.offset": item.offset,
        "penstock.target": item.target,
    }
    if item.events:
        attributes["cloudevents.event_id"] = item.events[0].id
        attributes["cloudevents.event_type"] = item.events[0].type
    return attributes


def seconds_between(earlier: datetime, later: datetime) -> float:
    """Return the seconds from `earlier` to `later`, never negative: two machines' clocks may disagree."""
    return max(0.0, (later - earlier).total_seconds())


def attributes_of(event: Any) -> dict[str, Any]:
    """Return the span attributes that name an event."""
    return {
        "cloudevents.event_id": event.id,
        "cloudevents.event_type": event.type,
        "penstock.target": event.target,
        **({"penstock.rollout": event.rollout} if event.rollout else {}),
    }
