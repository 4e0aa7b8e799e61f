"""What each page shows: plain values for its template, from the projection alone."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from statistics import median
from typing import Any

from penstock.events import BY_TYPE, GateVerdict, Word
from penstock.plan import Condition
from penstock.rollout import Phase
from services.console.pages.chart import charts_of
from services.console.pages.site import Page
from services.console.read_models.dead_letters import DeadLetters
from services.console.read_models.entries import Entry, Wanted, chronological, unknown_types
from services.console.read_models.json_views import plan_document, view_of, worst_first
from services.console.read_models.projection import Projection
from services.console.read_models.rollout import Book
from services.console.wording.words import gate_word, percent, seconds

Document = dict[str, Any]

_ATTENTION = (Phase.ROLLING_BACK, Phase.HELD, Phase.AWAITING_APPROVAL)
_RECENT = 25
_PERIOD = timedelta(days=30)


def overview(known: Projection, letters: DeadLetters, now: datetime) -> Page:
    """Is anything hurting customers, does anything need me?"""
    books = known.books()
    attention = sorted((b for b in books if needs_attention(b)), key=_urgency)
    running = [b for b in books if b.state is not None and b.state.live and not needs_attention(b)]
    ended = [b for b in books if b.state is not None and not b.state.live and not needs_attention(b)]
    context = {
        "stats": _stats(known, books, now, len(attention), len(running)),
        "attention": [_line(known, book) for book in attention],
        "running": [_line(known, book) for book in running],
        "ended": [_line(known, book) for book in ended[:_RECENT]],
        "letters": letters.received,
    }
    parts = {"stats": "parts/stats.html", "lines": "parts/lines.html"}
    return Page("overview.html", "Rollouts", parts, context)


def needs_attention(book: Book) -> bool:
    """Return whether a person should look: it waits for one, or a rollback is not safely over."""
    state = book.state
    if state is None:
        return False
    unsafe = state.phase is Phase.ROLLED_BACK and not state.recovered
    return state.phase in _ATTENTION or unsafe or book.damage is not None


def _urgency(book: Book) -> tuple[int, str]:
    assert book.state is not None
    order = [Phase.ROLLING_BACK, Phase.ROLLED_BACK, Phase.HELD, Phase.AWAITING_APPROVAL]
    place = order.index(book.state.phase) if book.state.phase in order else len(order)
    return place, book.state.updated_at


def _line(known: Projection, book: Book) -> Document:
    assert book.state is not None
    view = view_of(book, known.target(book.state.target))
    return {**view, "tally": tally(book.gates), "next_words": next_words(view)}


def next_words(view: Document) -> Document:
    """Return what happens next: `{"text", "due"}`; `due` is an instant to count down to, or None."""
    following = view["next"]
    if following is None:
        return {"text": "", "due": None}
    match following["what"]:
        case "approval":
            return {"text": f"approval by {' or '.join(following['who']) or 'an approver'}", "due": None}
        case "resume":
            return {"text": "resume, promote or roll back", "due": None}
        case "containment":
            return {"text": "flag clients updated by", "due": following["at_latest"]}
        case "steps":
            return {"text": "steps of the rollback", "due": None}
        case "recovery":
            due = following["at_latest"]
            return {"text": "recovery, decided by" if due else "recovery", "due": due}
        case "stage":
            name = f"{following['stage']} at {percent(following['exposure'])}"
        case "soak":
            name = "soak"
        case _:
            name = "completed"
    if following["windows"] > 0:
        return {"text": f"{name}, earliest", "due": following["at"]}
    return {"text": f"{name} once gates pass; decided by", "due": following["at_latest"]}


def _stats(known: Projection, books: Sequence[Book], now: datetime, attention: int, running: int) -> list[Document]:
    recent = [b for b in books if b.started is not None and now - b.started.time <= _PERIOD]
    detected = [
        (b.started.time - b.started.began_at).total_seconds()
        for b in recent
        if b.started is not None and b.started.began_at is not None
    ]
    contained = [b.contained.seconds for b in recent if b.contained is not None]
    counted = [known.target(b.state.target).exposed(b) for b in recent if b.state is not None]
    exposed = sum(count for count in counted if count is not None)
    missing = counted.count(None)
    return [
        {"name": "Need a person", "value": attention, "state": "attention" if attention else "healthy"},
        {"name": "Running", "value": running, "state": "running" if running else "neutral"},
        {"name": "Rolled back", "value": len(recent), "note": "30 days", "state": "neutral"},
        {"name": "Time to detect", "seconds": median(detected) if detected else None, "note": "median, 30 days"},
        {"name": "Time to contain", "seconds": median(contained) if contained else None, "note": "median, 30 days"},
        {
            "name": "Requests on bad releases",
            "value": exposed,
            "note": f"30 days, {missing} not counted" if missing else "30 days",
        },
    ]


def rollout(known: Projection, book: Book) -> Page:
    """What is it doing, why, what next?"""
    assert book.state is not None
    assert book.announced is not None
    view = view_of(book, known.target(book.state.target))
    newest = list(reversed(chronological(book.entries)))
    context = {
        "view": view,
        "next_words": next_words(view),
        "gates": [(gate, gate_word(gate)) for gate in worst_first(book.gates)],
        "charts": charts_of(book),
        "record": [_record_line(entry) for entry in newest[:200]],
        "recorded": len(newest),
        "dwell": _dwell(book),
        "audiences": _audiences(book),
        "plan_text": book.announced.plan_text,
    }
    names = ("head", "ladder", "next", "actions", "gates", "charts", "facts", "record")
    title = f"{view['release']['service']} {view['release']['version']}"
    return Page(
        "rollout.html", title, {name: f"parts/rollout/{name}.html" for name in names}, context, Wanted(rollout=book.id)
    )


def _dwell(book: Book) -> dict[str, Document]:
    """Windows judged and gates by their last word, by the name of the stage."""
    found = {}
    for entered in book.entered:
        verdict = book.verdicts.get(entered.id)
        if verdict is not None:
            found[entered.stage] = {"judged": verdict.judged, "tally": tally(verdict.gates)}
    return found


def tally(gates: Sequence[GateVerdict]) -> list[tuple[str, int]]:
    """Return how many gates have which word, worst first."""
    counts = Counter(gate_word(gate) for gate in gates)
    return [(word, counts[word]) for word in ("breach", "advice", *list(Word)[1:]) if counts[word]]


def _audiences(book: Book) -> dict[str, str]:
    """Who may get the release in each stage, in words, by the name of the stage."""
    stages = book.plan.stages if book.plan is not None else ()
    return {stage.name: " and ".join(_condition(c) for c in stage.audience.all_of) for stage in stages}


def _condition(condition: Condition) -> str:
    tests = [
        f"is {' or '.join(condition.any_of)}" if condition.any_of else "",
        f"starts with {condition.starts_with}" if condition.starts_with else "",
        f"ends with {condition.ends_with}" if condition.ends_with else "",
    ]
    return f"{condition.attribute} {' and '.join(test for test in tests if test)}"


def _record_line(entry: Entry) -> Document:
    event = entry.event
    document = entry.document()["event"]
    ground = document.get("ground") or {}
    about = [document.get(name) for name in ("stage", "version", "step", "subscriber", "what", "reason")]
    words = _numbers(document) or " · ".join(str(part) for part in about if part)
    why = " ".join(str(ground[name]).replace("_", " ") for name in ("why",) if ground.get(name))
    return {"entry": entry, "event": event, "about": words, "why": why, "text": ground.get("text")}


def _numbers(document: Document) -> str:
    """Return the numbers of an event, empty where its names are enough."""
    match document["type"]:
        case "stage.judged":
            blamed = f", {', '.join(document['blamed'])}" if document.get("blamed") else ""
            final = ", final" if document["final"] else ""
            word = document["word"].replace("_", " ")
            return f"{document['stage']} · {word}{blamed}{final}, window {document['judged']}"
        case "stage.entered":
            return f"{document['stage']} at {percent(document['exposure'])}"
        case "rollback.started":
            return (
                f"{document['version']} from {document['stage']} at {percent(document['exposure'])}"
                if document.get("stage")
                else f"{document['version']} before its first stage"
            )
        case "exposure.changed":
            return f"{percent(document['previous'])} → {percent(document['exposure'])}"
        case "exposure.contained":
            return f"{document['streams']} streaming clients safe after {seconds(document['seconds'])}"
        case "flag.served":
            return f"version {document['version']} to {document['served']} of {document['streams']} streams"
        case "recovery.verified":
            return f"{len(document['windows'])} good windows"
        case "rollback.completed" | "rollback.executed":
            return "recovered" if document["recovered"] else "recovery not confirmed"
        case _:
            return ""


def events(known: Projection, wanted: Wanted, types: str) -> Page:
    """What happened, in what order, because of what?"""
    found = list(known.entries(wanted))[-300:]
    context = {
        "record": [_record_line(entry) for entry in reversed(chronological(found))],
        "types": types,
        "rollout": wanted.rollout or "",
        "quiet": not wanted.types,
        **_wrong_types(wanted),
    }
    return Page("events.html", "Events", {"record": "parts/record_table.html"}, context)


def plans(known: Projection) -> Page:
    """Which plan applies to which target?"""
    listed = [plan for target in known.targets() for plan in plan_document(target)]
    quarantined = [
        {"target": target.target, "version": version, "at": event.time, "rollout": event.rollout}
        for target in known.targets()
        for version, event in sorted(target.quarantined.items())
    ]
    refused = [target.refused for target in known.targets() if target.refused is not None]
    context = {"plans": listed, "quarantined": quarantined, "refused": refused}
    return Page("plans.html", "Plans", {"plans": "parts/plans.html"}, context)


def dead_letters(letters: DeadLetters) -> Page:
    """What was rejected, when and why?"""
    shown = [_letter(letter) for letter in reversed(letters.newest(200))]
    context = {"letters": shown, "received": letters.received}
    return Page("dead_letters.html", "Dead letters", {}, context)


def _letter(letter: Document) -> Document:
    """Add the time as a moment, and the reason in one line: the first problem, not their number."""
    lines = [line.strip() for line in letter["reason"].splitlines() if line.strip()]
    words = next((line for line in lines[1:]), lines[0] if lines else "no reason given")
    at = datetime.fromtimestamp(letter["at"] / 1000, UTC) if letter["at"] else None
    return {**letter, "reason_words": words.removeprefix("- ")[:200], "time": at}


def _wrong_types(wanted: Wanted) -> Document:
    """Return the patterns that match no type of event, what was probably meant, and all types."""
    wrong = unknown_types(wanted.types)
    meant = [close for one in wrong for close in get_close_matches(one, sorted(BY_TYPE), n=1, cutoff=0.6)]
    return {"wrong": wrong, "meant": meant, "known_types": sorted(BY_TYPE)}
