"""What the pages of flags show: what is stale, who removes it, what is served to whom, and who changed it."""

from typing import Any

from penstock.errors import NotFoundError
from penstock.events import Event, ExposureChanged, FlagKilled, FlagServed, KillLifted
from penstock.targets import parse_target
from services.console.pages.site import Page
from services.console.read_models.entries import Wanted
from services.console.read_models.flag import FlagBook
from services.console.read_models.projection import Projection, TargetBook
from services.console.wording.words import percent, seconds

Document = dict[str, Any]

UNKNOWN = "unknown"
_SHOWN = Wanted(types=("exposure.changed", "flag.*", "kill.lifted", "edit.refused", "rollout.announced"))


def flags(known: Projection) -> Page:
    """What is stale, who removes it?"""
    listed = [_line(target) for target in known.targets() if target.flag.known]
    lines = sorted(listed, key=lambda line: (not line["killed"], not line["stale"], line["target"]))
    return Page("flags.html", "Flags", {"flags": "parts/flags.html"}, {"lines": lines}, wanted=_SHOWN)


def flag(known: Projection, target: str) -> Page:
    """What does it serve, to whom, since when, because of whom?

    Raises:
        NotFoundError: no event names such a flag.
    """
    book = known.target_of(target)
    if not (book.flag.known or book.rollouts):
        raise NotFoundError(f"there is no flag {target}; the page Flags lists all")
    context = {
        "line": _line(book),
        "kills": sorted(book.flag.kills.values(), key=lambda kill: kill.time),
        "history": [_change(entry.event) for entry in reversed(book.flag.history)],
        "variants": book.flag.defined.variants if book.flag.defined else None,
        "segments": book.flag.defined.segments if book.flag.defined else (),
    }
    shown = Wanted(types=_SHOWN.types, target=target)
    parts = {f"flag_{name}": f"parts/flag/{name}.html" for name in ("state", "facts", "history")}
    return Page("flag.html", parse_target(target).flag, parts, context, wanted=shown)


def _line(target: TargetBook) -> Document:
    book = target.flag
    rollout = target.rollouts[-1] if target.rollouts else None
    announced = rollout.announced if rollout is not None else None
    life = book.defined.lifecycle if book.defined is not None else None
    plan = rollout.plan if rollout is not None else None
    state = rollout.state if rollout is not None else None
    stale = book.stale
    return {
        "target": target.target,
        "name": parse_target(target.target).flag,
        "state": _state(book),
        "killed": bool(book.kills),
        "stale": {"rule": stale.rule, "since": stale.since} if stale is not None else None,
        "owner": (life and life.owner) or (stale and stale.owner) or (plan.owners[0] if plan else UNKNOWN),
        "type": life.kind if life else UNKNOWN,
        "created": (life and life.created) or UNKNOWN,
        "expires": (life.expires.date().isoformat() if life.expires else "never") if life else UNKNOWN,
        "exposure": book.exposure,
        "version": book.version,
        "served": served_words(book),
        "rollout": rollout.id if rollout is not None else None,
        "phase": state.phase.value if state is not None else None,
        "stage": state.stage if state is not None else None,
        "release": announced.release.model_dump(mode="json") if announced is not None else None,
    }


def _state(book: FlagBook) -> Document:
    if book.kills:
        return {"shape": "failed", "text": "killed"}
    if book.archived is not None:
        return {"shape": "neutral", "text": f"archived at {book.archived.variant}"}
    if book.stale is not None:
        return {"shape": "attention", "text": f"stale: {book.stale.rule}"}
    return {"shape": "running" if book.exposure else "neutral", "text": "serving" if book.exposure else "off"}


def served_words(book: FlagBook) -> str:
    """Return how many streams were sent the newest version, as flag control's instances report it."""
    reports: list[FlagServed] = [one for one in book.served.values() if one.version >= book.version]
    if not reports:
        return "Not known yet which clients have it"
    streams, sent = sum(one.streams for one in reports), sum(one.served for one in reports)
    slowest = max((one.elapsed_ms for one in reports if one.elapsed_ms is not None), default=None)
    after = f" after {seconds(slowest / 1000)}" if slowest is not None else ""
    behind = len(book.served) - len(reports)
    silent = f"; {behind} instance{'s' if behind > 1 else ''} with an older report" if behind else ""
    if not streams:
        return f"No streaming clients are connected. Polling clients get it with their next request{silent}"
    clients = f"{sent} of {streams} streaming clients have version {book.version}{after}"
    return f"{clients}. Polling clients get it with their next request{silent}"


def _moved(event: Event) -> str:
    """Return how the event moves the exposure; a kill reports what it was before."""
    match event:
        case FlagKilled():
            return f"{percent(event.exposure)} → {percent(0.0)}"
        case ExposureChanged() if event.previous == event.exposure:
            return f"stays at {percent(event.exposure)}"
        case ExposureChanged():
            return f"{percent(event.previous)} → {percent(event.exposure)}"
        case KillLifted():
            return f"{percent(0.0)} → {percent(event.exposure)}"
        case _:
            return ""


def _change(event: Any) -> Document:
    moved = _moved(event)
    return {
        "event": event,
        "version": getattr(event, "version", None),
        "what": moved or getattr(event, "detail", "") or getattr(event, "rule", "") or getattr(event, "what", ""),
        "reason": getattr(event, "reason", "") if event.type != "edit.refused" else "",
        "revision": (getattr(event, "revision", "") or "")[:12],
        "diff": [(one.path, one.before, one.after) for one in getattr(event, "diff", ())],
    }
