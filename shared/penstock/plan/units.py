"""Quantities as people write them in plans: `5%`, `0.05pp`, `30s`, `10m`."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
LONGEST = 3653 * 86_400.0
"""Seconds of a duration: added to any instant of an event, they stay within the calendar."""

_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*(%|pp)")


def seconds(value: Any) -> float:
    """Return seconds of `30s`, `10m`, `1h`, `250ms`, `7d`; bare numbers are refused, for their unit is a guess."""
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{value!r} is not a duration: write a number and ms, s, m, h or d, such as 30s")
    found = float(match[1]) * _SECONDS[match[2]]
    if found > LONGEST:
        raise ValueError(f"{value!r} is longer than ten years")
    return found


def fraction(value: Any) -> float:
    """Return the fraction of `5%` (0.05) or `0.05pp` (0.0005); bare numbers are refused, for 5 may mean both."""
    match = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(
            f"{value!r} is not a share: write a percentage such as 5%, or percentage points such as 0.05pp"
        )
    return float(match[1]) / 100.0


Duration = Annotated[float, BeforeValidator(seconds)]
Fraction = Annotated[float, BeforeValidator(fraction)]
