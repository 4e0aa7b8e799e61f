"""Sends the POST of a webhook step and says how it ended; the only part of a step that touches the network."""

from datetime import datetime

from penstock.egress import Answer, Egress
from penstock.errors import NotFoundError, PermanentError, TransientError
from penstock.events import Saw
from penstock.subscribers import Subscribers
from penstock.webhooks import sign
from services.rollback_execution.state import Running
from services.rollback_execution.steps.webhook import body, message_id

POST_SECONDS = 10.0
"""Longest that one POST may take; below the lease, so that its answer comes before another copy takes over."""


async def post(
    egress: Egress, subscribers: Subscribers, target: str, run: Running, now: datetime
) -> tuple[Saw, int | None, str]:
    """Send the present step's POST; return how it ended: what was seen, the HTTP status, and why it failed."""
    step = run.step
    assert step is not None
    content = body(target, run, step)
    try:
        secrets = subscribers.secrets_of(step.secret, step.url, target)
        headers = {"content-type": "application/json", **sign(secrets, message_id(run), now, content)}
        return _seen(await egress.post(step.url, content, headers, POST_SECONDS))
    except NotFoundError:
        return Saw.REFUSED, None, f"the subscribers file has no secret called {step.secret}"
    except PermanentError as error:
        return Saw.REFUSED, None, str(error)
    except TransientError as error:
        return Saw.FAILED, None, str(error)


def _seen(answer: Answer) -> tuple[Saw, int | None, str]:
    if answer.accepted:
        return Saw.SUCCEEDED, answer.status, ""
    return Saw.FAILED, answer.status, f"HTTP {answer.status}"
