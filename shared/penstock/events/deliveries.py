"""Whom we told, and whether they heard."""

from typing import Literal

from penstock.events.base import Event


class Delivery(Event):
    """One attempt to tell one subscriber of one event.

    Attributes:
        subscriber: its name; event: id of the event told; event_type: its type.
        attempt: counts from 1; status: HTTP status, None without an answer.
        position: where the event told stands, `topic:partition:offset`, so that it can be told again.
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
