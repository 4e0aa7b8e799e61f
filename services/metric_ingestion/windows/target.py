"""One target in memory: its series, its sources and its open slots; frames are added, and nothing is decided here."""

from collections.abc import Iterable, Iterator

import msgspec

from penstock.chain import Document
from penstock.events import Cohort, Doubt, Halves
from services.metric_ingestion.windows.frames import Frame, Hint, Part, Role, Series, Temporality
from services.metric_ingestion.windows.series import Outcome, SeriesState, advance, is_covered
from services.metric_ingestion.windows.slots import MOST_VALUES, Slot
from services.metric_ingestion.windows.sources import Source, assigned_half, half_of
from services.metric_ingestion.windows.values import Value, convert_unit

MOST_SERIES = 20_000
"""Series kept of one target; further ones are not measured, and their gates report it."""

PATIENT_WINDOWS = 30
"""Windows for which nothing is closed early after a point came late."""

_STALE_DOOR_NS = 60 * 10**9
_FORGOTTEN_NS = 3600 * 10**9


class TargetState(msgspec.Struct):
    """The state of a target, which a restart restores.

    Attributes:
        document: the target's state in the window log, ahead by the records in flight.
        series, sources: by key; slots: by start, Unix nanoseconds; length: of a slot, nanoseconds.
        event_time: newest time of a point, never ahead of its arrival; late: points since the last closing that came
            after theirs; patience: windows for which nothing is closed early.
        dropped: points left out since the last closing, by reason; dropped_gates: by gate that would have counted them.
        doors: intake with unread samples -> how far it has read, and the newest arrival then.
        hints: gate -> what arrived where its metric did not; seen_gates: gate -> the metric, once points have come.
        bad_seen: gates whose bad events were seen; not_bad: gate -> a few `attribute=value` of events that were not.
    """

    document: Document = {}
    series: dict[str, SeriesState] = {}
    sources: dict[str, Source] = {}
    slots: dict[int, Slot] = {}
    length: int = 0
    event_time: int = 0
    late: int = 0
    patience: int = 0
    bad_seen: list[str] = []
    not_bad: dict[str, list[str]] = {}
    dropped: dict[str, int] = {}
    dropped_gates: dict[str, int] = {}
    doors: dict[str, tuple[int, int]] = {}
    newest_arrival: int = 0
    hints: dict[str, Hint] = {}
    seen_gates: dict[str, str] = {}

    def add_frame(self, frame: Frame) -> None:
        """Add the points of a frame."""
        if not self.document:
            self.reslot(frame.length)
        self._note_door(frame)
        for gate, hint in frame.hints.items():
            if gate not in self.seen_gates:
                self.hints[gate] = hint
        for reason, count in frame.rejected.items():
            self.dropped[reason] = self.dropped.get(reason, 0) + count
        instances = self._baseline_instances()
        for series, start, time, value in _rows(frame):
            self._add_point(frame, series, start, time, value, instances)

    def horizon(self, newest: int) -> int:
        """Return up to when everything has arrived if `newest` is the present: doors with a backlog are waited for."""
        return min([newest, *(low for low, _ in self.doors.values())])

    def _note_door(self, frame: Frame) -> None:
        self.newest_arrival = max(self.newest_arrival, frame.received)
        if frame.low:
            self.doors[frame.door] = (frame.low, self.newest_arrival)
        elif frame.door:
            self.doors.pop(frame.door, None)
        for door, (_, noted) in list(self.doors.items()):
            # Another copy, with its own name, reads the backlog of a copy that has stopped.
            if self.newest_arrival - noted > _STALE_DOOR_NS:
                del self.doors[door]

    def reslot(self, length: int) -> None:
        """Cut what is open into slots of another length; each old slot falls into the one that holds its start."""
        if length == self.length:
            return
        old, self.slots, self.length = self.slots, {}, length
        for start, slot in sorted(old.items()):
            self._slot(start, slot.received, slot.trace).merge(slot)

    def live_sources(self) -> list[Source]:
        """Return the sources that have not missed three reports."""
        return [source for source in self.sources.values() if source.alive(self.event_time, self.length)]

    def forget(self) -> None:
        """Drop series and sources that were silent for an hour, so that memory holds only what is alive."""
        limit = self.event_time - _FORGOTTEN_NS
        self.series = {key: state for key, state in self.series.items() if state.last > limit}
        self.sources = {key: source for key, source in self.sources.items() if source.last > limit}

    def _add_point(self, frame: Frame, series: Series, start: int, time: int, value: Value, instances: int) -> None:
        source = self.sources.get(series.source)
        if source is None:
            source = self.sources[series.source] = Source(0, name=series.instance, reports=0)
        at = source.arrive(time, frame.received)
        self._report(source, series, start, time, at)
        self.event_time = max(self.event_time, min(at, frame.received))
        state = self.series.get(series.key)
        if state is None and len(self.series) >= MOST_SERIES:
            self._drop("too_many_series", series.parts)
            self._doubt(frame, series, at, Doubt.TOO_MANY_SERIES)
            return
        if state is None:
            state = SeriesState(0)
        closed = bool(self.document) and at < self.document["next"]
        cumulative = series.temporality is Temporality.CUMULATIVE
        whole = cumulative and self._began_in_sight(source, start, time, at)
        if cumulative:
            source.note_start(start, at)
            if closed and (state.writers or whole) and not is_covered(state, start, time):
                # Not moved past a point whose window has closed, the next one counts what this one would have.
                self._note_late(source, series, at, Outcome.ADDED)
                return
        added, outcome = advance(state, series.temporality, start, time, value, whole)
        self.series[series.key] = state
        if outcome is Outcome.REPEAT:
            return
        if closed or outcome is Outcome.TOO_OLD:
            self._note_late(source, series, at, outcome)
            return
        slot = self._slot(at, frame.received, frame.trace)
        slot.points += 1
        if outcome is Outcome.CONFLICT:
            slot.doubts.update({part.gate: Doubt.TWO_WRITERS for part in series.parts})
        if outcome is Outcome.RESET:
            slot.note_reset(part.gate for part in series.parts)
        if added is not None:
            self._add(slot, series, source, at, added, instances)

    def _began_in_sight(self, source: Source, start: int, time: int, at: int) -> bool:
        """Whether all that a writer seen for the first time has counted was counted while it was watched."""
        watched = int(self.document.get("planned") or self.document.get("since") or 0)
        # A first point at its own start states that the true start is not known.
        known = watched > 0 and 0 < start < time
        # By the clock of the source, whose skew is known by now.
        remembered = start - source.skew >= max(watched, self.event_time - _FORGOTTEN_NS)
        return known and (remembered or source.began_in_sight(start, at, watched))

    def _report(self, source: Source, series: Series, start: int, time: int, at: int) -> None:
        if not source.reports:
            source.last, source.reports = at, 1
        else:
            covered = time - start if series.temporality is Temporality.DELTA and start else 0
            source.report(at, covered)
        if series.cohort:
            source.cohorts[series.cohort] = max(source.cohorts.get(series.cohort, 0), at)
        source.steady = source.steady or series.temporality is Temporality.CUMULATIVE
        if series.cohort == Cohort.BASELINE and not source.half:
            source.half = assigned_half(series.source, self.sources)

    def _note_late(self, source: Source, series: Series, at: int, outcome: Outcome) -> None:
        # A point from before the watch began counts nowhere; a later one that arrives now has missed its window.
        if at < self.document["since"] or outcome is Outcome.BASELINE:
            return
        self.late += 1
        self.patience = PATIENT_WINDOWS
        source.tardy = self.event_time
        self._drop("too_old" if outcome is Outcome.TOO_OLD else "late", series.parts)

    def _drop(self, reason: str, parts: Iterable[Part], count: int = 1) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + count
        for gate in {part.gate for part in parts}:
            self.dropped_gates[gate] = self.dropped_gates.get(gate, 0) + count

    def _add(self, slot: Slot, series: Series, source: Source, time: int, added: Value, instances: int) -> None:
        for part in series.parts:
            if part.gate not in self.seen_gates and part.role is not Role.BAD:
                self.seen_gates[part.gate] = self.document.get("metrics", {}).get(part.gate, "")
                self.hints.pop(part.gate, None)
        half, how = "", Halves.TURNS
        for part in series.parts if series.outside else ():
            slot.add_outside(series, part, added, time)
        if series.outside:
            return
        self._note_unmatched(series)
        if series.cohort == Cohort.BASELINE:
            half, how = half_of(series.half, source, instances)
        for part in series.parts:
            if part.doubt:
                slot.doubts[part.gate] = part.doubt
                continue
            if part.role is Role.BAD and part.gate not in self.bad_seen:
                self.bad_seen = [*self.bad_seen, part.gate]
            if part.unit:
                slot.note_unit(part.gate, part.unit)
            value = added if part.factor == 1.0 else convert_unit(added, part.factor)
            slot.cell(series.cohort, part.gate).add(part.role, value, series.key, time)
            # Turns of one instance's exports cannot halve a gauge: its level is one and the same.
            if half and not (part.role is Role.LEVEL and how is Halves.TURNS):
                slot.cell(half, part.gate).add(part.role, value, series.key, time)
                slot.note_halves(how)

    def _note_unmatched(self, series: Series) -> None:
        for gate, text in series.unmatched:
            known = self.not_bad.get(gate, ())
            if text not in known and len(known) < MOST_VALUES:
                self.not_bad = {**self.not_bad, gate: [*known, text]}

    def _doubt(self, frame: Frame, series: Series, time: int, doubt: Doubt) -> None:
        if not self.document or time >= self.document["next"]:
            slot = self._slot(time, frame.received, frame.trace)
            slot.doubts.update({part.gate: doubt for part in series.parts})

    def _slot(self, time: int, received: int, trace: str) -> Slot:
        start = time // self.length * self.length
        slot = self.slots.get(start)
        if slot is None:
            slot = self.slots[start] = Slot(received, trace)
        return slot

    def _baseline_instances(self) -> int:
        return sum(1 for source in self.live_sources() if source.half)


def _rows(frame: Frame) -> Iterator[tuple[Series, int, int, Value]]:
    numbers, explicits, exponentials = frame.numbers, frame.explicits, frame.exponentials
    for row, place in enumerate(numbers.series):
        yield frame.series[place], numbers.start[row], numbers.time[row], numbers.value[row]
    for row, place in enumerate(explicits.series):
        yield frame.series[place], explicits.start[row], explicits.time[row], frame.explicit(row)
    for row, place in enumerate(exponentials.series):
        yield frame.series[place], exponentials.start[row], exponentials.time[row], frame.exponential(row)
