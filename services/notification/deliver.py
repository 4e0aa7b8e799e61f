"""One delivery attempt: the event as structured CloudEvents JSON, signed, posted once."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec

from penstock import ids
from penstock.egress import Egress
from penstock.errors import PermanentError, TransientError
from penstock.events.cloudevents import STRUCTURED, header_text
from penstock.subscribers import Subscriber
from penstock.webhooks import sign
from services.notification.ledger import GONE
from services.notification.recorded import Deliverable, structured_of

POST_SECONDS = 15.0


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended: the HTTP status if there was one, why it failed, and whether another may succeed."""

    status: int | None = None
    reason: str = ""
    again: bool = False

    @property
    def delivered(self) -> bool:
        """Whether the subscriber has the event."""
        return not self.reason


def endpoint_of(subscriber: Subscriber) -> str:
    """Return a digest that changes with the subscriber's address; the address itself may hold a secret."""
    return ids.derive("endpoint", subscriber.url or "")[:12]


async def deliver(
    egress: Egress, subscriber: Subscriber, event: Deliverable, now: datetime, trace: Mapping[str, str]
) -> Outcome:
    """Post once; the webhook-id is the event's id, the same on every attempt, for the subscriber to de-duplicate."""
    assert subscriber.url is not None
    body = msgspec.json.encode(structured_of(event))
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
