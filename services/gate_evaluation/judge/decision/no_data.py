"""Finds the reason why a gate has no data, from what came in this window and in the rollout so far."""

from collections.abc import Set

from services.gate_evaluation.judge.measures import Window
from services.gate_evaluation.judge.verdict import NoData

_NEVER_SEEN_AFTER = 3
"""Windows of a rollout after which a metric that never came counts as never seen, rather than as an outage."""


def no_data_reason(found: NoData, metric: str, window: Window, seen: Set[str], observed: int) -> NoData:
    """Return the reason that is reported.

    Args:
        found: what the gate itself found.
        metric: that the gate reads.
        window: the window at hand.
        seen: metrics that ever came.
        observed: windows of the rollout.
    """
    if metric in window.resets:
        return NoData.TOO_FEW_SAMPLES
    if found is not NoData.TELEMETRY_OUTAGE:
        return found
    if metric not in seen and observed >= _NEVER_SEEN_AFTER:
        return NoData.METRIC_NEVER_SEEN
    both = (window.canary, window.baseline)
    idle = any(each is not None and each.requests is not None and each.requests <= 0 for each in both)
    return NoData.NO_TRAFFIC if idle and None not in both else found
