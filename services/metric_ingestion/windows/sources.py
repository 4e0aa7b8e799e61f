"""The exporters of a target: how often each reports, which are alive, which half of the A/A split each belongs to."""

from collections.abc import Iterable, Mapping
from statistics import median

import msgspec

from penstock.events import Halves

_KEPT_GAPS = 9
_ENOUGH_GAPS = 3
_MISSED_REPORTS = 3
_JITTER = 0.25
_SAME_REPORT_NS = 20_000_000
"""Some SDKs stamp each instrument of one export a little later; within this it is one report."""


Attendance = dict[str, int]


class Source(msgspec.Struct, array_like=True):
    """One exporter.

    Attributes:
        last, previous: times of its newest two reports, Unix nanoseconds (`previous` 0 before the second).
        reports: how many; gaps: the newest differences; half: `a` or `b`, empty outside the baseline.
        cohorts: cohort -> time of its newest report that had points of it.
        steady: whether it reports cumulative values, and so at every interval, idle or not.
        tardy: event time when a point of it last came after its window had closed, 0 for never.
    """

    last: int
    previous: int = 0
    reports: int = 1
    gaps: list[int] = []
    half: str = ""
    cohorts: dict[str, int] = {}
    steady: bool = False
    tardy: int = 0

    def report(self, time: int, covered: int) -> None:
        """Take the time of a point; `covered` is how much of time it covers where it says so (delta), else 0.

        An idle delta source skips exports, so a gap between its points can be many export intervals; what the point
        covers cannot.
        """
        if time > self.last + _SAME_REPORT_NS:
            gap = time - self.last
            self.gaps = [*self.gaps[1 - _KEPT_GAPS :], min(gap, covered) if covered > 0 else gap]
            self.previous, self.last = self.last, time
            self.reports += 1
        else:
            self.last = max(self.last, time)

    @property
    def interval(self) -> float | None:
        """Nanoseconds between its exports, None until enough of them were seen."""
        return median(self.gaps) if len(self.gaps) >= _ENOUGH_GAPS else None

    def alive(self, event_time: int, length: int) -> bool:
        """Whether it has not missed three reports by now; `length` of a window stands in for an unknown interval."""
        return event_time - self.last <= _MISSED_REPORTS * (self.interval or length)

    def serves(self) -> list[str]:
        """Return the cohorts that its newest report had points of."""
        return [cohort for cohort, time in self.cohorts.items() if time >= self.last - _SAME_REPORT_NS]

    def owes(self, end: int, patience: int) -> bool:
        """Whether a report was due before `end` that has not come, though it seems alive.

        A delta source that has nothing to say skips reports, so its silence says nothing unless its points have come
        late within `patience` nanoseconds.
        """
        due = self.interval is not None and (end - self.last) >= (1 + _JITTER) * self.interval
        return due and (self.steady or (self.tardy > 0 and end - self.tardy <= patience))

    def since(self, time: int) -> int | None:
        """Return when it reported before the report of `time`; None where that is unknown or long ago."""
        before = self.previous if time <= self.last + _SAME_REPORT_NS else self.last
        if not before or time < before:
            return None
        silent = self.interval is not None and time - before > _MISSED_REPORTS * self.interval
        return None if silent else before


def slowest_interval(sources: Iterable[Source], event_time: int, length: int) -> float | None:
    """Return the nanoseconds between exports of the slowest live source, None before any is known."""
    known = [s.interval for s in sources if s.interval is not None and s.alive(event_time, length)]
    return max(known, default=None)


def attendance(sources: Iterable[Source], end: int, length: int, patience: int) -> tuple[Attendance, Attendance]:
    """Return by cohort the sources that are alive at `end`, and those of them that owe a report from before it.

    A cohort has 0 alive only where all its sources would have reported even when idle.
    """
    alive: dict[str, int] = {}
    owing: dict[str, int] = {}
    gone: dict[str, bool] = {}
    for source in sources:
        for cohort in source.serves():
            if not source.alive(end, length):
                gone[cohort] = gone.get(cohort, True) and source.steady
                continue
            alive[cohort] = alive.get(cohort, 0) + 1
            if source.owes(end, patience):
                owing[cohort] = owing.get(cohort, 0) + 1
    return {**{cohort: 0 for cohort, certain in gone.items() if certain}, **alive}, owing


def assigned_half(key: str, sources: Mapping[str, Source]) -> str:
    """Return the half for a new source of the baseline: the smaller one, by hash where they are equal."""
    halves = [source.half for source in sources.values()]
    a, b = halves.count("a"), halves.count("b")
    if a == b:
        return "a" if int(key[-1], 16) % 2 else "b"
    return "a" if a < b else "b"


def half_of(stated: str, source: Source, instances: int) -> tuple[str, Halves]:
    """Return the half of a baseline sample and how it was told.

    Args:
        stated: what the application says, or empty; instances: live sources of the baseline.
    """
    if stated:
        return stated, Halves.ATTRIBUTE
    if instances > 1:
        return source.half, Halves.INSTANCES
    return ("a" if source.reports % 2 else "b"), Halves.TURNS
