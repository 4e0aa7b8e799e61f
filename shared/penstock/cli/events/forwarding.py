"""Handing one event at a time to a receiver on your machine, as a structured CloudEvent, until it takes it."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpx
import msgspec

from penstock.events import from_json
from penstock.events.cloudevents import STRUCTURED, to_structured
from penstock.webhooks import key_of, sign
from penstock.wire.sse import Message

WAITS = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds between attempts; after them the event is given up, and said so."""

Sign = Callable[[str, bytes], Mapping[str, str]]
"""(id, body) -> headers that sign them."""


@dataclass(frozen=True)
class Forwarder:
    """Sends events to one URL, in the order in which they are handed over.

    Attributes:
        progress: called for every failed attempt; sign: None sends unsigned.
    """

    http: httpx.Client
    url: str
    progress: Callable[[str], None]
    sign: Sign | None = None
    sleep: Callable[[float], None] = field(default=time.sleep)

    def send(self, message: Message) -> int | None:
        """Return the status with which the receiver took the event, None if it never did."""
        event = from_json(message.event)
        body = msgspec.json.encode(to_structured(event))
        for wait in (*WAITS, None):
            signed = self.sign(event.id, body) if self.sign else {}
            status, reason = self._attempt(body, signed)
            if status is not None:
                return status
            self.progress(f"{self.url} {reason}" + (f"; again in {wait:.0f} s" if wait else "; given up"))
            if wait is not None:
                self.sleep(wait)
        return None

    def _attempt(self, body: bytes, signed: Mapping[str, str]) -> tuple[int | None, str]:
        try:
            answer = self.http.post(self.url, content=body, headers={"Content-Type": STRUCTURED, **signed})
        except httpx.HTTPError as error:
            return None, f"cannot be reached ({type(error).__name__}: {error})"
        return (answer.status_code, "") if answer.is_success else (None, f"answered {answer.status_code}")


def signer(secret: str | None) -> Sign | None:
    """Return what signs with a Standard Webhooks secret, None without one.

    Raises:
        InvalidError: not of the form `whsec_...`.
    """
    if secret is None:
        return None
    key_of(secret)

    def signed(message: str, body: bytes) -> Mapping[str, str]:
        now = datetime.now(UTC)  # noqa: TID251 - the time of the attempt, which the receiver compares with its clock
        return sign([secret], message, now, body)

    return signed
