"""One series: computes from each point what was added since the last one, through resets, repeats and first points."""

from bisect import insort
from enum import StrEnum

import msgspec

from services.metric_ingestion.windows.frames import Temporality
from services.metric_ingestion.windows.values import Explicit, Exponential, Value, subtract

_LEAST_KEPT, _MOST_KEPT = 8, 256
_KEPT_NS = 60 * 10**9
_MOST_WRITERS = 16
_CONFLICT_NS = 120 * 10**9


class Outcome(StrEnum):
    """What a point was.

    Attributes:
        ADDED: it adds what it returns; BASELINE: a first point, from which later points are counted.
        REPEAT: it is known already, or covered by a newer one; TOO_OLD: whether it is known is forgotten.
        RESET: the counter went backwards; CONFLICT: two writers share the series and cannot be distinguished.
    """

    ADDED = "added"
    BASELINE = "baseline"
    REPEAT = "repeat"
    RESET = "reset"
    CONFLICT = "conflict"
    TOO_OLD = "too_old"


Advanced = tuple[Value | None, Outcome]


class Writer(msgspec.Struct, array_like=True):
    """One process that writes a cumulative series, known by its start time.

    Attributes:
        last, value: time and value of its newest point.
        high: the value before the counter last went backwards, None while it has not; since_fall: points since then.
        conflict: time at which a second writer was last seen behind it, 0 for never.
    """

    last: int
    value: Value
    high: Value | None = None
    conflict: int = 0
    since_fall: int = 0


class SeriesState(msgspec.Struct, array_like=True):
    """What is remembered of a series.

    Attributes:
        last: time of the newest point, Unix nanoseconds.
        value, recent: as earlier versions kept them; read, and no longer written.
        writers: of a cumulative series, by start time; floor: newest start of those forgotten.
        seen: time and content of the newest delta points, in the order of their times.
    """

    last: int
    value: Value | None = None
    recent: tuple[int, ...] = ()
    writers: dict[int, Writer] = {}
    floor: int = 0
    seen: list[tuple[int, int]] = []


def advance(state: SeriesState, temporality: Temporality, start: int, time: int, value: Value, whole: bool) -> Advanced:
    """Move the state past a point; return what the point adds (None for nothing), and what it was.

    Args:
        state: of the series; `last` is 0 before its first point.
        whole: a writer that is seen for the first time began in our sight, so that all it has counted is new.
    """
    if temporality is Temporality.DELTA:
        return _advance_delta(state, start, time, value)
    if temporality is Temporality.LEVEL:
        if time <= state.last:
            return None, Outcome.REPEAT
        state.last = time
        return value, Outcome.ADDED
    return _advance_cumulative(state, start, time, value, whole)


def is_covered(state: SeriesState, start: int, time: int) -> bool:
    """Whether a cumulative point holds nothing that a newer one of the same writer does not."""
    writer = state.writers.get(start)
    return writer is not None and time <= writer.last


def _advance_delta(state: SeriesState, start: int, time: int, value: Value) -> Advanced:
    point = (time, _content(start, value))
    seen = state.seen
    if point in seen or time in state.recent:
        return None, Outcome.REPEAT
    if len(seen) >= _LEAST_KEPT and time < seen[0][0]:
        return None, Outcome.TOO_OLD
    insort(seen, point)
    state.last = seen[-1][0]
    while len(seen) > _MOST_KEPT or (len(seen) > _LEAST_KEPT and seen[0][0] < state.last - _KEPT_NS):
        del seen[0]
    return value, Outcome.ADDED


def _content(start: int, value: Value) -> int:
    # Hashes of numbers are the same in every process; those of texts and types are not.
    match value:
        case Explicit():
            return hash((start, value.sum, value.counts))
        case Exponential():
            return hash((start, value.sum, value.scale, value.zero, value.offset, value.counts))
        case _:
            return hash((start, value))


def _advance_cumulative(state: SeriesState, start: int, time: int, value: Value, whole: bool) -> Advanced:
    if state.value is not None:
        # Written by an earlier version, which kept one writer and not its start.
        old = start if start <= state.last else 0
        state.writers, state.value = {old: Writer(state.last, state.value)}, None
    writer = state.writers.get(start)
    if writer is None:
        # A start after the newest point is a new process, whatever its value is.
        began = whole or (bool(state.last) and start > state.last)
        state.writers[start] = Writer(time, value)
        new = began and start > state.floor
        _forget_writers(state)
        state.last = max(state.last, time)
        return (value, Outcome.ADDED) if new else (None, Outcome.BASELINE)
    found = _advance_writer(writer, start, time, value)
    state.last = max(state.last, time)
    return found


def _advance_writer(writer: Writer, start: int, time: int, value: Value) -> Advanced:
    if time < writer.last:
        return None, Outcome.REPEAT
    if time == writer.last:
        if value == writer.value:
            return None, Outcome.REPEAT
        writer.conflict = time
        return None, Outcome.CONFLICT
    added, before = subtract(value, writer.value), writer.value
    writer.last, writer.value = time, value
    in_conflict = bool(writer.conflict) and time - writer.conflict <= _CONFLICT_NS
    if added is None:
        writer.high, writer.since_fall = before, 0
        if in_conflict:
            return None, Outcome.CONFLICT
        # Without a start time, a decrease is the only sign of a restart: the value is what was counted since.
        return (None if start else value), Outcome.RESET
    if writer.high is not None and subtract(value, writer.high) is not None:
        # Back above the value that it fell from, and at a leap: nobody restarted, a second writer uses the series.
        leap = not writer.since_fall or subtract(added, before) is not None
        writer.high = None
        if leap:
            writer.conflict = time
            return None, Outcome.CONFLICT
    writer.since_fall += 1
    return added, Outcome.ADDED


def _forget_writers(state: SeriesState) -> None:
    while len(state.writers) > _MOST_WRITERS:
        oldest = min(state.writers, key=lambda start: state.writers[start].last)
        del state.writers[oldest]
        state.floor = max(state.floor, oldest)
