"""What JSON from outside may hold: no deeper than recursion bears, and nothing that cannot be written again."""

from math import isfinite
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


def unwritable(value: Any) -> str | None:
    """Return what in the value no JSON can say, None where all of it can be written: what is read is passed on."""
    rest = [value]
    while rest:
        one = rest.pop()
        if isinstance(one, dict):
            if (key := next((key for key in one if not isinstance(key, str)), None)) is not None:
                return f"{key!r} is no text, and a key must be: write it in quotes"
            rest.extend(one)
            rest.extend(one.values())
        elif isinstance(one, list | tuple):
            rest.extend(one)
        elif isinstance(one, str):
            if not one.isascii() and not _is_text(one):
                return f"{one[:50]!r} holds half of a surrogate pair, which is no character"
        elif isinstance(one, float):
            if not isfinite(one):
                return "holds a number that is too large, or none"
        elif one is not None and not isinstance(one, int):
            return f"holds a {type(one).__name__}, which JSON has no word for"
    return None


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _checked(value: dict[str, Any]) -> dict[str, Any]:
    if too_deep(value):
        raise ValueError(f"is nested deeper than {MOST_LEVELS} levels")
    if (what := unwritable(value)) is not None:
        raise ValueError(what)
    return value


JsonObject = Annotated[dict[str, Any], AfterValidator(_checked)]
"""An object of somebody else's making in an event."""
