"""What a rollback that is under way waits for, until when, and whether there is anything to verify it by."""

from datetime import datetime, timedelta
from typing import Any

from penstock.events import WindowClosed
from services.console.read_models.projection import TargetBook
from services.console.read_models.rollout import Book

Document = dict[str, Any]


def next_of_rollback(book: Book, target: TargetBook) -> Document:
    """Return `{"what", "at_latest"}` of containment, the steps, or recovery, in this order.

    Recovery has `windows` as well, how many in a row must show the service as before, and `lacks`: why nothing can be
    verified so far, None where windows are measured.
    """
    started, plan = book.started, book.plan
    if started is None or plan is None:
        return {"what": "recovery", "at_latest": None, "windows": None, "lacks": None}
    watched = book.contained_by
    if watched is None:
        return {"what": "containment", "at_latest": text(started.time + timedelta(seconds=plan.rollback.containment))}
    if len(book.settled) < len(plan.rollback.steps):
        return {"what": "steps", "at_latest": None}
    since = max(watched, *book.settled.values())
    recovery = plan.rollback.recovery
    return {
        "what": "recovery",
        "at_latest": text(since + timedelta(seconds=recovery.deadline)),
        "windows": recovery.windows,
        "lacks": _lacks(target.window, started.time),
    }


def words_of_rollback(following: Document) -> str:
    """Return the sentence about it, empty where the rollout's own says it already."""
    if following["what"] == "steps":
        return "Waiting until the steps of the rollback are done."
    if following["what"] != "recovery" or following["at_latest"] is None:
        return ""
    count = following["windows"]
    windows = f"{count} windows in a row that show" if count > 1 else "a window that shows"
    until = following["at_latest"][11:19]
    lacks = f" Recovery cannot be verified so far: {following['lacks']}." if following["lacks"] else ""
    return f"Waiting for {windows} the service as before, until {until}Z; without, a person is called.{lacks}"


def text(moment: datetime | None) -> str | None:
    """Return a moment as RFC 3339 in UTC, to the millisecond."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z") if moment is not None else None


def _lacks(window: WindowClosed | None, began: datetime) -> str | None:
    if window is None or window.end <= began:
        return "no window has closed since the rollback began"
    if not any(window.measures.values()):
        return "no requests are measured"
    return None
