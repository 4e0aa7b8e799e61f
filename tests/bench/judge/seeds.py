"""Seeds for tuning and for confirming, kept apart: a seed that was looked at during tuning confirms nothing."""

from penstock.errors import InvalidError, Problem

TUNING = frozenset({1, 2, 3, 4, 5, 7, 23, 55, 101, 202})
"""Looked at while weights and constants were chosen, or published for an earlier version of the judge."""
CONFIRMING = (9001, 9002, 9003)
"""Used once, on the judge as published."""


def confirming(seed: int) -> int:
    """Return a seed that may confirm.

    Raises:
        InvalidError: it was used for tuning, or is none of those set aside beforehand.
    """
    if seed in TUNING:
        raise InvalidError("seed", [Problem("", f"{seed} was used for tuning: it confirms nothing")])
    if seed not in CONFIRMING:
        allowed = ", ".join(map(str, CONFIRMING))
        raise InvalidError("seed", [Problem("", f"{seed} was not set aside for confirming: {allowed}")])
    return seed
