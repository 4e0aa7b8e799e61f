"""What a running rollback waits for, its deadline, and whether recovery can be measured at all."""

from datetime import datetime, timedelta
from typing import Any

from penstock.events import WindowClosed
from services.console.read_models.projection import TargetBook
from services.console.read_models.rollout import Book

Document = dict[str, Any]


def next_of_rollback(book: Book, target: TargetBook) -> Document:
    """Return `{"what", "at_latest"}` of containment, the steps, or recovery, in this order.

    Recovery also has `windows`, how many in a row must be good; `lacks`, why nothing can be measured so far (None where
    windows are measured); and `pages`, who is paged at the deadline.
    """
    started, plan = book.started, book.plan
    if started is None or plan is None:
        return {"what": "recovery", "at_latest": None, "windows": None, "lacks": None, "pages": []}
    watched = book.contained_by
    if watched is None:
        return {"what": "containment", "at_latest": text(started.time + timedelta(seconds=plan.rollback.containment))}
    if len(book.step_ends) < len(plan.rollback.steps):
        return {"what": "steps", "at_latest": None}
    since = max(watched, *book.step_ends.values())
    recovery = plan.rollback.recovery
    return {
        "what": "recovery",
        "at_latest": text(since + timedelta(seconds=recovery.deadline)),
        "windows": recovery.windows,
        "lacks": _lacks(target.window, started.time),
        "pages": list(plan.rollback.escalate_to),
    }


def words_of_rollback(following: Document) -> str:
    """Return the sentence about it, empty where the rollout's own sentence covers it."""
    if following["what"] == "steps":
        return "The steps of the rollback are running."
    if following["what"] != "recovery" or following["at_latest"] is None:
        return ""
    count = following["windows"]
    windows = f"{count} good windows in a row" if count > 1 else "one good window"
    until, who = following["at_latest"][11:19], " and ".join(following["pages"]) or "a person"
    lacks = f" Recovery cannot be measured so far: {following['lacks']}." if following["lacks"] else ""
    return f"Waiting for metrics to recover ({windows}). Pages {who} at {until} UTC if they do not.{lacks}"


def text(moment: datetime | None) -> str | None:
    """Return a moment as RFC 3339 in UTC, to the millisecond."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z") if moment is not None else None


def _lacks(window: WindowClosed | None, began: datetime) -> str | None:
    if window is None or window.end <= began:
        return "no window has closed since the rollback began"
    if not any(window.measures.values()):
        return "no requests are measured"
    return None
