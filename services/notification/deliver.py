"""One attempt to tell one subscriber: the event as structured CloudEvents JSON, signed, posted once."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec

from penstock import ids
from penstock.egress import Egress
from penstock.errors import PermanentError, TransientError
from penstock.events import Event
from penstock.events.cloudevents import STRUCTURED, header_text, to_structured
from penstock.subscribers import Subscriber
from penstock.webhooks import sign
from services.notification.ledger import GONE

POST_SECONDS = 15.0


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended: the HTTP status if there was one, why it failed, and whether another may succeed."""

    status: int | None = None
    reason: str = ""
    again: bool = False

    @property
    def heard(self) -> bool:
        """Whether the subscriber has heard."""
        return not self.reason


def endpoint_of(subscriber: Subscriber) -> str:
    """Return a digest that changes with the subscriber's address; the address itself may hold a secret."""
    return ids.derive("endpoint", subscriber.url or "")[:12]


async def deliver(
    egress: Egress, subscriber: Subscriber, event: Event, now: datetime, trace: Mapping[str, str]
) -> Outcome:
    """Post once; the webhook-id is the event's id, the same on every attempt, for the subscriber to de-duplicate."""
    assert subscriber.url is not None
    body = msgspec.json.encode(to_structured(event))
    headers = {"content-type": STRUCTURED, **trace, **sign(subscriber.secrets, header_text(event.id), now, body)}
    try:
        answer = await egress.post(subscriber.url, body, headers, POST_SECONDS)
    except PermanentError as error:
        return Outcome(reason=str(error))
    except TransientError as error:
        return Outcome(reason=str(error), again=True)
    if answer.accepted:
        return Outcome(answer.status)
    return Outcome(answer.status, f"HTTP {answer.status}", again=answer.status != GONE)
