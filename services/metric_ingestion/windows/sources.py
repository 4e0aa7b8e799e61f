"""The exporters of a target: how often each reports, which are alive, which half of the A/A split each belongs to."""

from collections.abc import Iterable, Mapping
from statistics import median

import msgspec

from penstock.events import Halves

_KEPT_GAPS = 9
_ENOUGH_GAPS = 3
_MISSED_REPORTS = 3
_JITTER = 0.25
_KEPT_LAGS = 4
_KEPT_STARTS = 16
_MOST_SHOWN = 8
_CLOCK_TOLERANCE_NS = 10**9
_STEADY_NS = 3 * 10**9
LONGEST_WAIT_NS = 30 * 10**9
"""A window waits so long for a live source that is known to be slow; its points beyond that are late."""

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
        lag: how long its reports take to arrive, nanoseconds: follows rises at once and falls slowly.
        skew: what its clock is taken to be ahead (positive) or behind, nanoseconds; lags: its newest lags as they came.
        name: `service.instance.id`, for people.
        starts: start time of a cumulative process -> times of its newest two reports.
    """

    last: int
    previous: int = 0
    reports: int = 1
    gaps: list[int] = []
    half: str = ""
    cohorts: dict[str, int] = {}
    steady: bool = False
    tardy: int = 0
    lag: int = 0
    skew: int = 0
    lags: list[int] = []
    name: str = ""
    starts: dict[int, tuple[int, int]] = {}

    def arrive(self, time: int, received: int) -> int:
        """Record when a point arrived, and return its time by our clock: skew of the source's is taken out.

        A clock ahead is certain: nothing is measured after it arrives. A clock behind looks like a slow way, so only
        what stays the same over several reports and exceeds any wait is taken for it.
        """
        if time > self.last + self.skew + _SAME_REPORT_NS or not self.lags:
            self.lags = [*self.lags[1 - _KEPT_LAGS :], received - time]
            self.skew = self._skew()
        corrected = min(time - self.skew, max(received, time - self.skew - _CLOCK_TOLERANCE_NS))
        lag = max(0, received - corrected)
        self.lag = lag if lag > self.lag else self.lag - (self.lag - lag) // 4
        return corrected

    def _skew(self) -> int:
        least, most = min(self.lags), max(self.lags)
        ahead = least < -_CLOCK_TOLERANCE_NS
        behind = len(self.lags) == _KEPT_LAGS and least > LONGEST_WAIT_NS and most - least < _STEADY_NS
        return -least if ahead or behind else 0

    def began_in_sight(self, start: int, time: int, watched: int) -> bool:
        """Whether a process that reports a new series had reported before without it, since the watch began.

        SDKs of Go, Java and .NET give a late series the start of the process; every report holds every series.
        """
        newest, before = self.starts.get(start, (0, 0))
        previous = newest if time > newest + _SAME_REPORT_NS else before
        return bool(start) and bool(previous) and previous >= watched

    def note_start(self, start: int, time: int) -> None:
        """Remember that the process that began at `start` has reported."""
        newest = self.starts.get(start, (0, 0))[0]
        if time > newest + _SAME_REPORT_NS:
            self.starts[start] = (time, newest)
            if len(self.starts) > _KEPT_STARTS:
                del self.starts[min(self.starts, key=lambda known: self.starts[known][0])]

    def report(self, time: int, covered: int) -> None:
        """Record the time of a point; `covered` is the time that it states to cover (delta), in nanoseconds, else 0.

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
        return event_time - self.last <= _MISSED_REPORTS * (self.interval or length) + min(self.lag, LONGEST_WAIT_NS)

    def serves(self) -> list[str]:
        """Return the cohorts that its newest report had points of."""
        return [cohort for cohort, time in self.cohorts.items() if time >= self.last - _SAME_REPORT_NS]

    def owes(self, end: int, patience: int) -> bool:
        """Whether a report was due before `end` that has not come, though it seems alive.

        A delta source without new counts skips reports, so its silence means nothing unless its points have come
        late within `patience` nanoseconds.
        """
        due = self.interval is not None and (end - self.last) >= (1 + _JITTER) * self.interval
        return due and (self.steady or (self.tardy > 0 and end - self.tardy <= patience))


def wait_for(sources: Iterable[Source], end: int, event_time: int, length: int, lateness: int) -> int:
    """Return for how long a window stays open after its end: longer than `lateness` for slow live sources."""
    longest = lateness
    for source in sources:
        if source.last < end and source.lag > lateness and source.alive(event_time, length):
            usual = source.lag + round((1 + _JITTER) * (source.interval or length))
            longest = max(longest, min(usual, LONGEST_WAIT_NS))
    return longest


def skews_of(sources: Iterable[Source], event_time: int, length: int) -> dict[str, float]:
    """Return seconds by which the clocks of live sources are ahead, negative for behind: the largest few."""
    found = [(source.name, source.skew) for source in sources if source.skew and source.alive(event_time, length)]
    found.sort(key=lambda pair: -abs(pair[1]))
    return {name: round(skew / 1e9, 3) for name, skew in found[:_MOST_SHOWN]}


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
    """Return the half of a control sample and how it was assigned.

    Args:
        stated: the half that the application states, or empty; instances: live sources of the baseline.
    """
    if stated:
        return stated, Halves.ATTRIBUTE
    if instances > 1:
        return source.half, Halves.INSTANCES
    return ("a" if source.reports % 2 else "b"), Halves.TURNS
