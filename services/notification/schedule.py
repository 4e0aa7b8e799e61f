"""When a failed delivery is retried: the schedule of Standard Webhooks, three days long."""

PAUSES = (5.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 50400.0, 72000.0, 86400.0)
"""Seconds after the first, second, ... failed attempt; after one more attempt than there are pauses it is given up."""

SPREAD = 0.1
"""Pauses are longer by up to this share, so that subscribers that failed together are not tried together."""

HORIZON = sum(PAUSES) * (1 + SPREAD)
"""Longest that a delivery can be pending, seconds, attempts themselves not counted."""


def pause_after(attempt: int, jitter: float) -> float | None:
    """Return the seconds from failed attempt number `attempt` (from 1) to the next, None when it was the last.

    Args:
        attempt: counts from 1.
        jitter: 0 to 1, random.
    """
    if attempt > len(PAUSES):
        return None
    return PAUSES[attempt - 1] * (1 + SPREAD * jitter)
