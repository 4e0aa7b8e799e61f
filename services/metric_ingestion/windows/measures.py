"""Turns the sums of a slot into the measures of a window; a gate that cannot be trusted gets a doubt, not a measure."""

from collections.abc import Mapping

from penstock.events import (
    Cohort,
    Count,
    Doubt,
    ExplicitHistogram,
    ExponentialHistogram,
    Gauge,
    Measure,
    Outside,
    Ratio,
    Unattributed,
)
from services.metric_ingestion.windows.slots import Cell, Slot

Kinds = Mapping[str, str]
"""Kind of each gate of the plan, by its name."""

_OF_THE_CANARY = 10
_RATIOS = {"ratio", "slo", "burn_rate"}
_HALVES = {Cohort.A, Cohort.B}
_DISTRIBUTIONS = {"quantile", "mean"}


def requests_of(slot: Slot, traffic: str, kinds: Kinds) -> dict[str, float]:
    """Return the requests of each cohort by the gate that counts them; cohorts that reported none of it are absent."""
    found: dict[str, float] = {}
    for cohort, gates in slot.cells.items():
        cell = gates.get(traffic)
        count = None if cell is None else _requests(cell, kinds.get(traffic, ""))
        if count is not None:
            found[cohort] = count
    return found


def _requests(cell: Cell, kind: str) -> float | None:
    if kind in _RATIOS:
        return cell.total
    distributions = [d.count for d in (cell.explicit, cell.exponential) if d is not None]
    return sum(distributions) if distributions else None


def split_of(requests: Mapping[str, float]) -> float | None:
    """Return the canary's share of the requests, None without requests."""
    canary, baseline = requests.get(Cohort.CANARY, 0.0), requests.get(Cohort.BASELINE, 0.0)
    return canary / (canary + baseline) if canary + baseline > 0 else None


def measures_of(
    slot: Slot, kinds: Kinds, requests: Mapping[str, float], seconds: float
) -> tuple[dict[Cohort, dict[str, Measure]], dict[str, Doubt]]:
    """Return measures by cohort and gate, and doubts by gate; a gate that is in doubt is measured in no cohort."""
    doubts = {gate: Doubt(doubt) for gate, doubt in slot.doubts.items() if gate in kinds}
    everyone = requests.get(Cohort.CANARY, 0.0) + requests.get(Cohort.BASELINE, 0.0)
    measures: dict[Cohort, dict[str, Measure]] = {}
    for name, gates in slot.cells.items():
        share = requests.get(name, 0.0) / everyone if everyone > 0 else None
        for gate, cell in gates.items():
            kind = kinds.get(gate)
            if kind is None:
                continue
            found = _measure(kind, cell, share, seconds)
            if found is Doubt.MORE_BAD_THAN_ALL and name in _HALVES:
                # Two counters of one process may fall into different halves; that is no fault of the whole.
                continue
            if isinstance(found, Doubt):
                doubts.setdefault(gate, found)
            elif found is not None:
                measures.setdefault(Cohort(name), {})[gate] = found
    trusted = {
        cohort: {gate: measure for gate, measure in gates.items() if gate not in doubts}
        for cohort, gates in measures.items()
    }
    return {cohort: gates for cohort, gates in trusted.items() if gates}, doubts


def unattributed_of(slot: Slot, kinds: Kinds) -> dict[str, Unattributed]:
    """Return by gate what belongs to no cohort; gates without such events are absent."""
    found: dict[str, Unattributed] = {}
    for gate in sorted({gate for gates in slot.outside.values() for gate in gates} & kinds.keys()):
        reasons = {
            Outside(reason): float(events)
            for reason, gates in sorted(slot.outside.items())
            if gate in gates and (events := _events(gates[gate])) > 0
        }
        outside = sum(reasons.values())
        if outside > 0:
            everyone = outside + sum(_events_of(slot, cohort, gate) for cohort in (Cohort.CANARY, Cohort.BASELINE))
            values = tuple(sorted(slot.values.get(gate, ())))
            found[gate] = Unattributed(share=outside / everyone, reasons=reasons, values=values)
    return found


def too_many_outside(slot: Slot, unattributed: Mapping[str, Unattributed], most: float) -> list[str]:
    """Return the gates of which more events belong to no cohort than may: of all, or ten times that of the canary's.

    A canary of few requests could hide all its errors in a small share of everyone's.
    """
    found = []
    for gate, outside in unattributed.items():
        canary = _events_of(slot, Cohort.CANARY, gate)
        if outside.share > most or sum(outside.reasons.values()) > _OF_THE_CANARY * most * canary:
            found.append(gate)
    return found


def _events_of(slot: Slot, cohort: str, gate: str) -> float:
    cell = slot.cells.get(cohort, {}).get(gate)
    return 0.0 if cell is None else _events(cell)


def _events(cell: Cell) -> float:
    distributions = [d.count for d in (cell.explicit, cell.exponential) if d is not None]
    for number in (cell.total, cell.amount, sum(distributions) if distributions else None, cell.bad):
        if number is not None:
            return float(number)
    return float(len(cell.levels))


def _measure(kind: str, cell: Cell, share: float | None, seconds: float) -> Measure | Doubt | None:
    if kind in _RATIOS:
        return _ratio(cell)
    if kind in _DISTRIBUTIONS:
        return _distribution(cell)
    if kind == "gauge":
        return _gauge(cell)
    if cell.amount is None:
        return None
    return Doubt.NO_TRAFFIC if share is None else Count(value=cell.amount, exposure=share * seconds)


def _ratio(cell: Cell) -> Ratio | Doubt | None:
    if cell.total is None:
        return None
    bad = cell.bad or 0
    return Doubt.MORE_BAD_THAN_ALL if bad > cell.total else Ratio(events=bad, total=cell.total)


def _distribution(cell: Cell) -> Measure | Doubt | None:
    explicit, exponential = cell.explicit, cell.exponential
    if explicit is not None and exponential is not None:
        return Doubt.MIXED_BUCKETS
    if exponential is not None:
        return ExponentialHistogram(
            count=exponential.count,
            sum=exponential.sum,
            scale=exponential.scale,
            zero_count=exponential.zero,
            offset=exponential.offset,
            counts=exponential.counts,
        )
    if explicit is None:
        return None
    if not explicit.bounds:
        return Doubt.MIXED_BUCKETS
    return ExplicitHistogram(count=explicit.count, sum=explicit.sum, bounds=explicit.bounds, counts=explicit.counts)


def _gauge(cell: Cell) -> Gauge | None:
    if not cell.levels:
        return None
    values = [float(value) for _, value in cell.levels.values()]
    return Gauge(count=len(values), sum=sum(values), sumsq=sum(value * value for value in values))
