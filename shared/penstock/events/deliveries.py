"""Deliveries of events to subscribers, and how each attempt ended."""

from typing import Literal

from penstock.events.base import Event


class Delivery(Event):
    """One attempt to deliver one event to one subscriber.

    Attributes:
        subscriber: its name; event: id of the event delivered; event_type: its type.
        attempt: counts from 1; status: HTTP status, None without an answer.
        position: of the event, `topic:partition:offset`, so that it can be delivered again.
        endpoint: digest of the subscriber's address, so that a changed one starts with a clean slate.
    """

    subscriber: str
    event: str
    event_type: str
    attempt: int = 1
    status: int | None = None
    position: str | None = None
    endpoint: str | None = None


class DeliverySucceeded(Delivery):
    """The subscriber answered 2xx."""

    type: Literal["delivery.succeeded"] = "delivery.succeeded"
    seconds: float


class DeliveryFailed(Delivery):
    """An attempt failed; `next_at_seconds` says after how long the next follows, None for never."""

    type: Literal["delivery.failed"] = "delivery.failed"
    reason: str
    next_in_seconds: float | None = None
