"""Is every connected client safe? Every flag control instance of this rollout must have sent all the safe version."""

from typing import NamedTuple

from services.rollback_execution.state import Running, Served, State
from services.rollback_execution.steps.flag import applied


class Contained(NamedTuple):
    """Everybody is safe: since which flag version, how many streams, after how many seconds, by which event."""

    version: int
    streams: int
    seconds: float
    event: str
    closed: int = 0


def contained(state: State, run: Running) -> Contained | None:
    """Return how containment was reached, None while a client may still have the release.

    Seconds run from the decision to the last instance's report: by the instance's own measure where it gives one
    (it knows when it received the decision), else by the difference of the event times.
    """
    safe = applied(state, run)
    if safe is None or any(not _is_safe(report, safe.version) for report in state.served.values()):
        return None
    reports = sorted(state.served.values(), key=lambda report: _seconds(report, run))
    if not reports:
        # No instance has ever reported a stream: nobody to tell but those who ask, and they get the applied flag.
        return Contained(safe.version, 0, max(0.0, (safe.time - run.began).total_seconds()), safe.event)
    last = reports[-1]
    streams, closed = sum(report.served for report in reports), sum(report.closed for report in reports)
    return Contained(safe.version, streams, _seconds(last, run), last.event, closed)


def missing(state: State, run: Running) -> str:
    """Return, for a person, what containment waits for."""
    safe = applied(state, run)
    if safe is None:
        return "flag control has not applied it"
    open_ = [
        f"{name} ({report.served if report.version >= safe.version else 0} of {report.streams} streams)"
        for name, report in sorted(state.served.items())
        if not _is_safe(report, safe.version)
    ]
    return f"the safe flag version {safe.version} has not reached all clients of {', '.join(open_)}"


def _is_safe(report: Served, version: int) -> bool:
    return report.version >= version and report.served >= report.streams


def _seconds(report: Served, run: Running) -> float:
    return report.seconds if report.seconds >= 0 else max(0.0, (report.time - run.began).total_seconds())
