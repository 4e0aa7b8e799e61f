"""One series: from what its points say to what happened since the last, through resets, repeats and first sights."""

from enum import StrEnum

import msgspec

from services.metric_ingestion.windows.frames import Temporality
from services.metric_ingestion.windows.values import Value, subtract

_REMEMBERED = 8


class Outcome(StrEnum):
    """What a point was."""

    ADDED = "added"
    BASELINE = "baseline"
    REPEAT = "repeat"
    RESET = "reset"


class SeriesState(msgspec.Struct, array_like=True):
    """What is remembered of a series.

    Attributes:
        last: time of the newest point, Unix nanoseconds.
        value: of that point where the series is cumulative.
        recent: times of the newest delta points, so that one which was overtaken on its way still counts, once.
    """

    last: int
    value: Value | None = None
    recent: tuple[int, ...] = ()


def advance(
    state: SeriesState | None, temporality: Temporality, start: int, time: int, value: Value, since: int | None
) -> tuple[SeriesState, Value | None, Outcome]:
    """Return the state after a point, what the point adds (None for nothing), and what it was.

    Args:
        since: the last time but this at which the series' source reported, None where it had not. A cumulative
            series that began after it has grown from zero in our sight, so its first point counts whole.
    """
    if temporality is Temporality.DELTA:
        return _advance_delta(state, time, value)
    if temporality is Temporality.LEVEL:
        if state is not None and time <= state.last:
            return state, None, Outcome.REPEAT
        return SeriesState(time), value, Outcome.ADDED
    return _advance_cumulative(state, start, time, value, since)


def _advance_delta(state: SeriesState | None, time: int, value: Value) -> tuple[SeriesState, Value | None, Outcome]:
    if state is None:
        return SeriesState(time, None, (time,)), value, Outcome.ADDED
    recent = state.recent
    if time in recent or (len(recent) == _REMEMBERED and time < recent[0]):
        return state, None, Outcome.REPEAT
    state.recent = tuple(sorted((*recent, time)))[-_REMEMBERED:]
    state.last = state.recent[-1]
    return state, value, Outcome.ADDED


def _advance_cumulative(
    state: SeriesState | None, start: int, time: int, value: Value, since: int | None
) -> tuple[SeriesState, Value | None, Outcome]:
    if state is None:
        if since is not None and start >= since:
            return SeriesState(time, value), value, Outcome.ADDED
        return SeriesState(time, value), None, Outcome.BASELINE
    if time <= state.last:
        return state, None, Outcome.REPEAT
    # A start after the last point means a new process, even where its value has already outgrown the old one.
    added = subtract(value, state.value) if start <= state.last and state.value is not None else None
    state.last, state.value = time, value
    return state, added, Outcome.RESET if added is None else Outcome.ADDED
