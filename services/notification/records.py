"""The event that records an attempt on `deliveries`."""

from datetime import datetime
from typing import Any

from penstock import ids
from penstock.events import DeliveryFailed, DeliverySucceeded
from services.notification.deliver import Outcome
from services.notification.job import Job
from services.notification.schedule import pause_after

SOURCE = "/penstock/notification"


def record_of(
    job: Job, endpoint: str | None, outcome: Outcome, now: datetime, seconds: float, jitter: float
) -> DeliverySucceeded | DeliveryFailed:
    """Return the record of an attempt that ended at `now` after `seconds`."""
    name, event = job.key
    common: dict[str, Any] = {
        "id": ids.derive("delivery", name, event, job.attempt),
        "source": SOURCE,
        "target": job.target,
        "time": now,
        "rollout": job.rollout,
        "cause": event,
        "subscriber": name,
        "event": event,
        "event_type": job.event_type,
        "attempt": job.attempt,
        "status": outcome.status,
        "position": str(job.position),
        "endpoint": endpoint,
    }
    if outcome.delivered:
        return DeliverySucceeded(**common, seconds=seconds)
    pause = pause_after(job.attempt, jitter) if outcome.again else None
    return DeliveryFailed(**common, reason=outcome.reason, next_in_seconds=pause)
