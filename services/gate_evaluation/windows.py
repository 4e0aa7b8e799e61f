"""Translates window events into the judge's windows, and limits how many windows in a row may be left out."""

from collections.abc import Mapping
from dataclasses import replace
from typing import assert_never

from penstock.events import (
    Cohort,
    Count,
    ExplicitHistogram,
    ExponentialHistogram,
    Gauge,
    Measure,
    Ratio,
    WindowClosed,
)
from penstock.plan import Plan
from services.gate_evaluation import judge as j
from services.gate_evaluation.judge_spec import metric_key

_COMPARED = (Cohort.CANARY, Cohort.BASELINE)
_MATERIAL = 0.1
_LEFT_OUT_AT_MOST = 3
_WINDOWS_TO_EARN_ONE = 10


def judge_window(plan: Plan, event: WindowClosed) -> j.Window:
    """Return the window as the judge reads it; a measure that contradicts itself leaves its metric unmeasured."""
    keys = {name: metric_key(gate) for name, gate in plan.gates.items()}
    read, untrue = _read(keys, event.measures)
    cohorts = {
        cohort: j.Cohort(
            {key: measure for key, measure in measures.items() if key not in untrue[cohort in _COMPARED]},
            event.requests.get(cohort),
        )
        for cohort, measures in read.items()
    }
    if plan.cohorts.by == "flag_variant":
        cohorts |= _unasked(event, cohorts)
    return j.Window(
        canary=cohorts.get(Cohort.CANARY),
        baseline=cohorts.get(Cohort.BASELINE),
        a=cohorts.get(Cohort.A),
        b=cohorts.get(Cohort.B),
        late=is_late(event),
        resets=frozenset(keys[gate] for gate in event.reset_gates if gate in keys),
        seconds=event.seconds,
        epoch=event.start.timestamp(),
    )


def is_late(event: WindowClosed) -> bool:
    """Return whether a window that measured something lacks more than a tenth of either cohort's sources."""
    if not any(event.measures.get(cohort) for cohort in _COMPARED):
        return False
    return any(
        event.unheard.get(cohort, 0) > _MATERIAL * event.sources.get(cohort, 0)
        for cohort in _COMPARED
        if cohort in event.unheard
    )


def admitted(window: j.Window, owed: int, *, proven: bool) -> tuple[j.Window, int]:
    """Return the window as it is to be judged, and what is owed after it.

    A source that died looks late, and a process that keeps dying resets its counters: left out without end, such
    windows would hide a crash. So no more than three run unjudged, and ten others earn one back.

    Args:
        window: as it was measured.
        owed: tenths of a window left out and not earned back.
        proven: points came late since the last window: its sources live, and are slow.
    """
    if not window.resets and (proven or not window.late):
        return window, max(0, owed - 1)
    if owed > (_LEFT_OUT_AT_MOST - 1) * _WINDOWS_TO_EARN_ONE:
        return replace(window, late=window.late and proven, resets=frozenset()), owed - 1
    return window, owed + _WINDOWS_TO_EARN_ONE


def lost_its_instances(event: WindowClosed) -> bool:
    """Return whether every instance of the canary has fallen silent while the baseline's report."""
    return event.sources.get(Cohort.CANARY) == 0 and event.sources.get(Cohort.BASELINE, 0) > 0


def _unasked(event: WindowClosed, cohorts: Mapping[Cohort, j.Cohort]) -> dict[Cohort, j.Cohort]:
    """Return the cohort that no request chose while the other had some: the same processes report both."""
    if not event.requests:
        return {}
    idle = [cohort for cohort in _COMPARED if cohort not in event.requests]
    return {cohort: replace(cohorts.get(cohort, j.Cohort()), requests=0.0) for cohort in idle if len(idle) == 1}


def _read(
    keys: Mapping[str, str], told: Mapping[Cohort, Mapping[str, Measure]]
) -> tuple[dict[Cohort, dict[str, j.Measure]], dict[bool, set[str]]]:
    """Return the measures by cohort and metric, and what could not be true, by whether it was compared or a half."""
    read: dict[Cohort, dict[str, j.Measure]] = {}
    untrue: dict[bool, set[str]] = {True: set(), False: set()}
    for cohort, measures in told.items():
        read[cohort] = {}
        for gate, measure in measures.items():
            if gate in keys:
                try:
                    read[cohort][keys[gate]] = _measure(measure)
                except j.MeasureError:
                    untrue[cohort in _COMPARED].add(keys[gate])
    return read, untrue


def _measure(measure: Measure) -> j.Measure:
    match measure:
        case Ratio():
            return j.Ratio(measure.events, measure.total)
        case Count():
            return j.Count(measure.value, measure.exposure)
        case Gauge():
            return j.Gauge(measure.count, measure.sum, measure.sumsq)
        case ExplicitHistogram():
            return j.ExplicitHistogram(measure.bounds, measure.counts, measure.sum)
        case ExponentialHistogram():
            return j.ExponentialHistogram(
                measure.count, measure.sum, measure.scale, measure.zero_count, measure.offset, measure.counts
            )
        case _:
            assert_never(measure)
