"""How deep JSON from outside may be nested: what reads, writes or compares it recurses, and must not fail at it."""

from typing import Annotated, Any

from pydantic import AfterValidator

MOST_LEVELS = 100


def too_deep(value: Any, levels: int = MOST_LEVELS) -> bool:
    """Return whether objects and lists are nested deeper than `levels`."""
    row = [value]
    for _ in range(levels + 1):
        row = [
            inner
            for one in row
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not row:
            return False
    return True


def _checked(value: dict[str, Any]) -> dict[str, Any]:
    if too_deep(value):
        raise ValueError(f"is nested deeper than {MOST_LEVELS} levels")
    return value


JsonObject = Annotated[dict[str, Any], AfterValidator(_checked)]
"""An object of somebody else's making in an event."""
