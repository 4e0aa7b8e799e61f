"""The webhook step: a signed POST that must be answered 2xx; the same id and the same bytes on every attempt."""

from datetime import datetime

import msgspec

from penstock import ids
from penstock.egress import Answer, Egress
from penstock.errors import NotFoundError, PermanentError, TransientError
from penstock.events import Saw
from penstock.subscribers import Subscribers
from penstock.targets import parse_target
from penstock.webhooks import sign
from services.rollback_execution.state import Running, Step

KIND = "webhook"

POST_SECONDS = 10.0
"""Longest that one POST may take; below the lease, so that its answer comes before another copy takes over."""

_LONGEST_PAUSE = 30.0


def pause_after(attempt: int) -> float:
    """Return the seconds between failed attempt number `attempt` and the next: 1, 2, 4, ... at most 30."""
    return min(_LONGEST_PAUSE, float(2 ** min(attempt - 1, 10)))


def message_id(run: Running) -> str:
    """Return the webhook-id of the present step: the same on every attempt, by whatever copy."""
    return ids.derive("step", run.id, run.index)


def body(target: str, run: Running, step: Step) -> bytes:
    """Return what is posted; nothing in it depends on the attempt or on the copy."""
    environment, service, flag = parse_target(target)
    return msgspec.json.encode(
        {
            "type": "rollback.step",
            "timestamp": run.began,
            "data": {
                "id": message_id(run),
                "step": step.name,
                "rollback": run.id,
                "rollout": run.rollout,
                "environment": environment,
                "service": service,
                "flag": flag,
                "version": run.version,
                "planHash": run.needs.plan,
            },
        }
    )


async def post(
    egress: Egress, subscribers: Subscribers, target: str, run: Running, now: datetime
) -> tuple[Saw, int | None, str]:
    """Send the present step's POST; return how it ended: what was seen, the HTTP status, and why it failed."""
    step = run.step
    assert step is not None
    content = body(target, run, step)
    try:
        secrets = subscribers.secrets_of(step.secret)
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
