"""The webhook step: a signed POST that must be answered 2xx; the same id and the same bytes on every attempt."""

import msgspec

from penstock import ids
from penstock.targets import parse_target
from services.rollback_execution.state import Running, Step

KIND = "webhook"

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
