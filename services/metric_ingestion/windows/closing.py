"""Decides when a window closes, how long it is, and what it reports: pure functions of one target's state."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from penstock import ids
from penstock.chain import Document
from penstock.events import Closing, Cohort, Doubt, Event, Missing, WindowClosed, WindowsRefused
from penstock.plan import Gate, Plan, Reads, reads_of
from services.metric_ingestion.windows.frames import Hint
from services.metric_ingestion.windows.measures import (
    measures_of,
    requests_of,
    split_of,
    too_many_outside,
    unattributed_of,
)
from services.metric_ingestion.windows.slots import Slot
from services.metric_ingestion.windows.sources import attendance, skews_of, slowest_interval, wait_for
from services.metric_ingestion.windows.target import PATIENT_WINDOWS, TargetState

SOURCE = "/penstock/metric_ingestion"
MOST_EMPTY_WINDOWS = 60
"""Windows without any point that are closed one by one; a longer silence (we were down) becomes one long window."""

_JITTER = 0.25
_UNATTRIBUTED = 0.01
_DROPPED = 0.01
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TRAFFIC_KINDS = ("ratio", "slo", "burn_rate", "quantile", "mean")


@dataclass(frozen=True)
class Step:
    """A decision: the target's document afterwards, the events, and the trace that it belongs to (or empty)."""

    document: Document
    events: tuple[Event, ...] = ()
    trace: str = ""


def moment(nanoseconds: int) -> datetime:
    """Return the instant of Unix nanoseconds."""
    return _EPOCH + timedelta(microseconds=nanoseconds // 1000)


def nanoseconds(instant: datetime) -> int:
    """Return the Unix nanoseconds of an instant."""
    return (instant - _EPOCH) // timedelta(microseconds=1) * 1000


def document_for_plan(state: TargetState, plan: Plan, plan_hash: str, now: int) -> Document:
    """Return the document of a target that is watched by this plan from `now` on; open windows stay open."""
    length = round(plan.windows.length * 1e9)
    kinds = {name: _kind_of(gate) for name, gate in plan.gates.items()}
    traffic = [name for kind in _TRAFFIC_KINDS for name, found in kinds.items() if found == kind]
    begun = state.document.get("next", now // length * length)
    # Windows of another length begin at their own next multiple; what lies before it belongs to no window.
    start = -(-begun // length) * length
    same = state.document.get("length") == length
    return {
        "plan": plan_hash,
        "length": length,
        "window": length,
        "widen": plan.windows.widen,
        "refused": False,
        "gates": dict(kinds),
        "counts_bad": sorted(name for name, gate in plan.gates.items() if reads_of(gate) is Reads.SHARE),
        "traffic": traffic[0] if traffic else "",
        "unattributed": plan.cohorts.unattributed,
        "next": begun if same else start,
        "since": state.document["since"] if same else start,
        **_watched_since(state, plan, start if not same else max(begun, now), same=same),
    }


def _watched_since(state: TargetState, plan: Plan, now: int, *, same: bool) -> Document:
    """Return what is read, and since when all of it is: a series seen first may have counted long before."""
    reads = sorted({f"{name} {gate.where}" for gate in plan.gates.values() for name in _metrics_of(gate)})
    before = state.document
    known = same and "planned" in before and set(reads) <= set(before.get("reads", ()))
    metrics = {name: gate.metric for name, gate in plan.gates.items()}
    return {"metrics": metrics, "reads": reads, "planned": before["planned"] if known else now}


def _metrics_of(gate: Gate) -> list[str]:
    bad = getattr(gate, "bad_metric", None)
    return [gate.metric, bad] if bad else [gate.metric]


def _kind_of(gate: Gate) -> str:
    """Return the kind whose measure a gate reads: objectives of latency and own histories have no form of their own."""
    if gate.kind == "own_history" or (gate.kind == "slo" and gate.quantile is not None):
        return _READ_AS[reads_of(gate)]
    return gate.kind


_READ_AS = {Reads.SHARE: "ratio", Reads.HISTOGRAM: "quantile", Reads.LEVEL: "gauge", Reads.AMOUNT: "count"}


def review_length(state: TargetState, target: str) -> Step | None:
    """Return the change of the windows' length that the measured export interval asks for, None for none."""
    document = state.document
    interval = slowest_interval(state.sources.values(), state.event_time, state.length)
    if not document or interval is None:
        return None
    length = document["length"]
    times = max(1, math.ceil(interval / length - _JITTER))
    # A length that jitters around an edge must not go up and down: it comes down only when it clearly can.
    if (
        times * length < document["window"]
        and math.ceil(interval / length + _JITTER / 2) * length >= document["window"]
    ):
        return None
    refused = times > 1 and not document["widen"]
    window = length if refused else times * length
    if (window, refused) == (document["window"], document["refused"]):
        return None
    after = {**document, "window": window, "refused": refused}
    if window < document["window"] or (not refused and window == length):
        return Step(after)
    event = WindowsRefused(
        id=ids.derive("windows.refused", target, document["next"], window, str(refused)),
        source=SOURCE,
        target=target,
        time=moment(document["next"]),
        asked=length / 1e9,
        export_interval=round(interval / 1e9, 3),
        widened_to=None if refused else window / 1e9,
    )
    return Step(after, (event,))


def overdue(state: TargetState, lateness: int, now: int | None) -> bool:
    """Return whether the wall clock alone closes a window: cheap, for it is asked of every target at every tick."""
    document = state.document
    return now is not None and bool(document) and not document["refused"] and now >= _end_of(document) + lateness


def due(state: TargetState, lateness: int, now: int | None) -> tuple[int, Closing] | None:
    """Return the end of the window that can close and what closes it, None if none can.

    Args:
        lateness: nanoseconds that a window stays open for late points.
        now: the wall clock, None where frames are waiting unread: they may hold the window's points.
    """
    document = state.document
    if not document or document["refused"]:
        return None
    end = _end_of(document)
    sources = state.sources.values()
    present = state.event_time if now is None else max(now, state.event_time)
    wait = wait_for(sources, end, present, state.length, lateness)
    if (reached := state.horizon(state.event_time)) >= end + wait:
        return _extend_over_silence(state, end, reached - wait), Closing.EVENT_TIME
    if now is not None and (reached := state.horizon(now)) >= end + wait:
        return _extend_over_silence(state, end, reached - wait), Closing.CLOCK
    return None


def close_window(state: TargetState, target: str, end: int, by: Closing) -> Step:
    """Return the window that ends at `end`, with the document after it; the state itself is left as it is."""
    document = state.document
    start, kinds = document["next"], document["gates"]
    slot = _merge_slots(state, end)
    usable = len(slot.halves) == 1 and {"a", "b"} <= slot.cells.keys()
    if not usable:
        slot.cells = {cohort: gates for cohort, gates in slot.cells.items() if cohort not in {"a", "b"}}
    seconds = (end - start) / 1e9
    requests = requests_of(slot, document["traffic"], kinds)
    unattributed = unattributed_of(slot, kinds)
    for gate, points in state.dropped_gates.items():
        if points > _DROPPED * (slot.points + points):
            slot.doubts.setdefault(gate, Doubt.POINTS_DROPPED)
    for gate in too_many_outside(slot, unattributed, document.get("unattributed", _UNATTRIBUTED)):
        slot.doubts.setdefault(gate, Doubt.UNATTRIBUTED)
    measures, doubts = measures_of(slot, kinds, requests, seconds)
    interval = slowest_interval(state.sources.values(), state.event_time, state.length)
    patience = PATIENT_WINDOWS * document["window"]
    alive, owing = attendance(state.sources.values(), end, state.length, patience)
    event = WindowClosed(
        id=ids.derive("window.closed", target, start, end),
        source=SOURCE,
        target=target,
        time=moment(end),
        start=moment(start),
        end=moment(end),
        seconds=seconds,
        measures=measures,
        split=split_of(requests),
        requests=_by_cohort(requests),
        late=state.late,
        sources=_by_cohort(alive),
        unheard=_by_cohort(owing),
        resets=slot.resets,
        reset_gates={gate: count for gate, count in slot.reset_gates.items() if gate in kinds},
        export_interval=None if interval is None else round(interval / 1e9, 3),
        first_sample_at=moment(slot.received) if slot.received else None,
        halves=slot.halves[0] if usable else None,  # type: ignore[arg-type]
        doubts={**_unproven(document, state, requests), **doubts},
        closed_by=by,
        unattributed=unattributed,
        dropped=dict(sorted(state.dropped.items())),
        missing=_missing(document, state),
        not_bad={
            gate: tuple(sorted(state.not_bad[gate]))
            for gate in document["counts_bad"]
            if gate in state.not_bad and gate not in state.bad_seen
        },
        skew=skews_of(state.sources.values(), state.event_time, state.length),
    )
    return Step({**document, "next": end}, (event,), slot.trace)


def apply_document(state: TargetState, document: Document, events: tuple[str, ...]) -> None:
    """Move the state to this document and drop what its windows have reported. `events`: their types."""
    if state.document.get("plan") != document["plan"]:
        metrics = document.get("metrics", {})
        state.seen_gates = {gate: name for gate, name in state.seen_gates.items() if metrics.get(gate) == name}
    state.document = document
    state.reslot(document["length"])
    state.slots = {start: slot for start, slot in state.slots.items() if start >= document["next"]}
    if "window.closed" in events:
        state.late = 0
        state.dropped, state.dropped_gates = {}, {}
        state.patience = max(0, state.patience - 1)
        state.forget()


def _by_cohort(numbers: Mapping[str, float]) -> dict[Cohort, Any]:
    return {Cohort(name): number for name, number in sorted(numbers.items())}


def _end_of(document: Document) -> int:
    start, window = int(document["next"]), int(document["window"])
    # A window after a change of length runs to the next multiple of the new one, and is never shorter than it.
    return -(-(start + window) // window) * window


def _extend_over_silence(state: TargetState, end: int, horizon: int) -> int:
    window = int(state.document["window"])
    silent_until = min([horizon, *(start for start in state.slots if start >= state.document["next"])])
    silent_until = silent_until // window * window
    return silent_until if silent_until - end > MOST_EMPTY_WINDOWS * window else end


def _merge_slots(state: TargetState, end: int) -> Slot:
    merged = Slot(0)
    for start, slot in sorted(state.slots.items()):
        if state.document["next"] <= start < end:
            merged.merge(slot)
    return merged


def _unproven(document: Document, state: TargetState, requests: Mapping[str, float]) -> dict[str, Doubt]:
    if not requests:
        return {}
    return {gate: Doubt.BAD_NEVER_SEEN for gate in document["counts_bad"] if gate not in state.bad_seen}


def _missing(document: Document, state: TargetState) -> dict[str, Missing]:
    """Return the gates of which no point has come since their metric is watched, with what came instead."""
    found = {}
    for gate, metric in sorted(document.get("metrics", {}).items()):
        if state.seen_gates.get(gate) in {metric, ""} or document["next"] < document["since"]:
            continue
        hint = state.hints.get(gate, Hint(metric))
        found[gate] = Missing(
            metric=metric, names=hint.names, attributes=hint.attributes, environments=hint.environments
        )
    return found


def steps(state: TargetState, target: str, lateness: int, now: int | None) -> Iterator[Step]:
    """Yield every decision that is due, each with the state moved past it."""
    review = review_length(state, target)
    if review is not None:
        apply_document(state, review.document, tuple(event.type for event in review.events))
        yield review
    while (found := due(state, lateness, now)) is not None:
        step = close_window(state, target, *found)
        apply_document(state, step.document, tuple(event.type for event in step.events))
        yield step
