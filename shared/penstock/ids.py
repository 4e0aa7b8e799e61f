"""Ids derive from their cause, so deciding again, here or on another copy, names the same fact the same way."""

import hashlib

_SEPARATOR = "\x1f"


def derive(kind: str, *parts: str | int) -> str:
    """Return 32 hex digits (128 bits of SHA-256) that depend on `kind` and every part, in order."""
    text = _SEPARATOR.join((kind, *(str(part) for part in parts)))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def rollout_id(source: str, deploy_id: str, *target: str) -> str:
    """Return the id of the rollout that the deploy event (source, id) starts on a target: `ro-` and 12 hex digits.

    Versions that recorded no time of receipt left the target out; their deploys keep the id that they have.
    """
    return f"ro-{derive('rollout', source, deploy_id, *target)[:12]}"
