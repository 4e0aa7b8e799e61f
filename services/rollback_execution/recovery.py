"""Are users well again? A window without canary requests, compared with the windows before the rollout.

A ratio is compared by counts: at most what the pooled rate of the reference windows, widened by the gate's margin,
allows, plus three standard deviations of a count with that mean. A quantile or mean is compared with the median of
the reference windows, widened by the margin, plus three robust standard deviations (1.4826 times the median absolute
deviation). Margins are the wider of the gate's tolerance and pass margin.
"""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from statistics import median
from typing import NamedTuple

from penstock.events import Cohort, WindowClosed
from services.rollback_execution.readings import readings_of, requests
from services.rollback_execution.state import Reading, Reference, RollbackPlan, State, Yardstick

SLOTS = 10
"""Reference windows kept."""

REFRESH = 30
"""Windows between two samples once all slots are taken: the reference spans the last 300, at one record each 30."""

FEW = 5
"""With fewer reference windows than this, the baseline beside a running rollout is taken too."""

LEAST_REFERENCES = 3
LEAST_REQUESTS = 10

_DEVIATIONS = 3.0
_ROBUST = 1.4826


class Health(StrEnum):
    """What a window shows of recovery."""

    WELL = "well"
    UNWELL = "unwell"
    UNMEASURED = "unmeasured"


class Finding(NamedTuple):
    """What a window shows, and why it does not show recovery."""

    health: Health
    doubt: str = ""


def sample(state: State, window: WindowClosed) -> dict[str, Reference] | None:
    """Return the references with this window among them, None where it is not to be kept."""
    baseline = window.measures.get(Cohort.BASELINE, {})
    few = len(state.references) < FEW
    if state.running is not None or not requests(baseline) or (state.live and not few):
        return None
    if not state.live and _canary_requests(window):
        return None
    newest = max((reference.end for reference in state.references.values()), default=None)
    if newest is not None and not _is_due(newest, window, len(state.references)):
        return None
    return {**state.references, _slot(state.references): Reference(window.end, readings_of(baseline))}


def health_of(needs: RollbackPlan, references: Sequence[Reference], window: WindowClosed) -> Finding:
    """Return what this window shows."""
    if _canary_requests(window):
        return Finding(Health.UNWELL, "the release still gets requests")
    baseline = window.measures.get(Cohort.BASELINE, {})
    if not requests(baseline):
        return Finding(Health.UNMEASURED, "no requests are measured")
    readings = readings_of(baseline)
    findings = [
        _compared(name, yardstick, before, readings.get(name))
        for name, yardstick in sorted(needs.yardsticks.items())
        if len(before := _before(references, name)) >= LEAST_REFERENCES
    ]
    if not findings:
        return Finding(Health.UNMEASURED, "no windows before the rollout to compare with")
    for worst in (Health.UNWELL, Health.UNMEASURED):
        for one in findings:
            if one.health is worst:
                return one
    return Finding(Health.WELL)


def _is_due(newest: datetime, window: WindowClosed, kept: int) -> bool:
    pause = 0 if kept < SLOTS else REFRESH - 1
    return window.start >= newest + timedelta(seconds=pause * window.seconds)


def _slot(references: dict[str, Reference]) -> str:
    if len(references) < SLOTS:
        return str(len(references))
    return min(references, key=lambda slot: references[slot].end)


def _canary_requests(window: WindowClosed) -> bool:
    return bool(requests(window.measures.get(Cohort.CANARY, {})) or window.split)


def _before(references: Sequence[Reference], gate: str) -> list[Reading]:
    return [reference.readings[gate] for reference in references if gate in reference.readings]


def _compared(name: str, yardstick: Yardstick, before: Sequence[Reading], now: Reading | None) -> Finding:
    if now is None:
        return Finding(Health.UNMEASURED, f"{name} is not measured")
    if yardstick.by == "mean":
        return _by_value(name, yardstick, [reading.mean for reading in before], now.mean)
    if now.n < LEAST_REQUESTS:
        return Finding(Health.UNMEASURED, f"{name} has too few requests to compare")
    if yardstick.by == "ratio":
        return _by_count(name, yardstick, before, now)
    levels = [reading.levels[yardstick.level] for reading in before if reading.levels]
    if not now.levels or len(levels) < LEAST_REFERENCES:
        return Finding(Health.UNMEASURED, f"{name} is not measured")
    return _by_value(name, yardstick, levels, now.levels[yardstick.level])


def _by_count(name: str, yardstick: Yardstick, before: Sequence[Reading], now: Reading) -> Finding:
    rate = sum(reading.bad for reading in before) / sum(reading.n for reading in before)
    margin = max(rate * yardstick.relative, yardstick.absolute)
    most = now.n * (rate + margin)
    least = now.n * (rate - margin)
    if yardstick.up and now.bad > most + _DEVIATIONS * math.sqrt(most):
        return Finding(Health.UNWELL, f"{name} is higher than before the rollout")
    if yardstick.down and now.bad < least - _DEVIATIONS * math.sqrt(max(least, 0.0)):
        return Finding(Health.UNWELL, f"{name} is lower than before the rollout")
    return Finding(Health.WELL)


def _by_value(name: str, yardstick: Yardstick, before: Sequence[float], now: float) -> Finding:
    middle = median(before)
    spread = _DEVIATIONS * _ROBUST * median(abs(value - middle) for value in before)
    margin = max(abs(middle) * yardstick.relative, yardstick.absolute) + spread
    if yardstick.up and now > middle + margin:
        return Finding(Health.UNWELL, f"{name} is higher than before the rollout")
    if yardstick.down and now < middle - margin:
        return Finding(Health.UNWELL, f"{name} is lower than before the rollout")
    return Finding(Health.WELL)
