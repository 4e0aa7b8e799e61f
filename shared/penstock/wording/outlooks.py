"""What is likely to become of a gate: an outcome and a time, never a count of windows beyond the bake."""

from collections.abc import Mapping
from typing import Any

_DECIDED = {
    ("breach", "rollback"): "rolls back",
    ("breach", "hold"): "holds",
    ("breach", "advise"): "advises",
}
_UNDECIDED = {
    "extended": "the bake will be extended",
    "held": "will be held",
    "rolled_back": "will be rolled back",
    "bounded": "will be promoted or held by its hard limits",
}


def outlook(gate: Mapping[str, Any]) -> str:
    """Return what is likely: `passes in about 6 min`; `undecided at this traffic, will be held at 20:50 UTC`."""
    found, ahead = gate.get("outlook"), gate.get("decides_in")
    if found is None or ahead is None:
        return ""
    if found in _UNDECIDED:
        at = str(gate.get("decides_at") or "")[11:16]
        return f"undecided at this traffic, {_UNDECIDED[found]}{f' at {at} UTC' if at else ''}"
    verb = "passes" if found == "passed" else _DECIDED[(str(found), str(gate.get("authority") or "rollback"))]
    return f"{verb} in about {duration(float(ahead))}"


def duration(seconds: float) -> str:
    """Return a rounded time: `40 s`, `6 min`, `2 h 10 min`."""
    if seconds < 90:
        return f"{max(round(seconds / 10) * 10, 10)} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, rest = divmod(round(minutes / 10) * 10, 60)
    return f"{hours} h {rest} min" if rest else f"{hours} h"
