"""How rollouts and events read: pure functions from the API's JSON to what a person sees."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from penstock.cli.output import marked, plain, table
from penstock.wording import deciding, outlooks

View = Mapping[str, Any]


def percent(share: float | None) -> str:
    """Return a share as people write it: 5%, 0.5%, - where nobody knows."""
    return "-" if share is None else f"{100 * share:.4g}%"


def clock(moment: str | None) -> str:
    """Return the UTC time of day and date of an RFC 3339 moment."""
    return f"{moment[:10]} {moment[11:19]}Z" if moment else "-"


_URGENT = ("rolling_back", "held", "awaiting_approval", "baking", "soaking", "announced")


def urgency(view: View) -> int:
    """Return the place of a rollout in a list: what needs somebody first, what has ended last."""
    return _URGENT.index(view["phase"]) if view["phase"] in _URGENT else len(_URGENT)


def rollouts_table(views: Sequence[View]) -> RenderableType:
    """One line a rollout."""
    if not views:
        return "no rollouts"
    rows: list[list[str | Text]] = [
        [
            str(view["id"]),
            marked(view["phase"]),
            view["target"],
            _version(view),
            str(view.get("stage") or "-"),
            percent(view.get("exposure")),
            clock(view.get("updated_at")),
        ]
        for view in views
    ]
    return table(["ID", "PHASE", "TARGET", "VERSION", "STAGE", "EXPOSURE", "SINCE"], rows)


def rollout_page(view: View) -> RenderableType:
    """Everything about one rollout: what it does, why, its ladder and its gates."""
    head = Text.assemble((view["id"], "bold"), "  ", marked(view["phase"]), "  ", plain(view["target"]))
    parts: list[RenderableType] = [head, plain(view.get("sentence") or ""), "", _facts(view), "", _ladder(view)]
    if view.get("gates"):
        parts += ["", gates_table(view["gates"])]
    if view.get("rollback"):
        parts += ["", _rollback(view["rollback"])]
    if view.get("quarantined"):
        parts += ["", f"quarantined: {plain(', '.join(map(str, view['quarantined'])))}"]
    return Group(*parts)


def line(view: View, now: str) -> str:
    """One appended line, for where the output is no terminal; `now` is the time that it carries."""
    parts = [now, view["id"], marked(view["phase"]).plain, str(view.get("stage") or "-")]
    parts += [percent(view.get("exposure")), f"#{view['sequence']}"]
    if view.get("judged") is not None:
        parts.append(f"{view['judged']}/{view.get('bake_min') or '?'} windows")
    if view.get("word"):
        parts.append(marked(view["word"]).plain)
    return plain("  ".join(parts) + (f"  {view['sentence']}" if view.get("sentence") else ""))


def changed_at(view: View) -> str:
    """Return when the rollout last changed."""
    return clock(view.get("updated_at"))


def progress(view: View) -> str:
    """Return the phase, and how much of the bake is evaluated, in a few words."""
    phase = str(view["phase"]).replace("_", " ")
    judged, least, most = view.get("judged"), view.get("bake_min"), view.get("bake_max")
    if judged is None or not most:
        return phase
    bake = f"{judged} of {least}" if least and judged < least else f"{judged} of at most {most}"
    return f"{phase} in {view.get('stage') or '-'}, {bake} windows"


def awaited(view: View) -> str:
    """Return what is waited for, and until when, as the end of a line; empty where the phase is enough."""
    following = view.get("next") or {}
    what, until = str(following.get("what", "")).replace("_", " "), following.get("at_latest")
    words = f": {what}, decided by {clock(until)}" if what and until else ""
    return plain(f"{words} ({following['lacks']})" if words and following.get("lacks") else words)


def gates_table(gates: Iterable[View]) -> RenderableType:
    """The gates with their numbers, in the order given (worst first)."""
    rows: list[list[str | Text]] = [
        [
            str(gate["gate"]),
            marked(gate["word"]),
            _side(gate.get("canary")),
            _side(gate.get("baseline")),
            _signed(gate.get("estimate")),
            deciding.fails_clause(gate) or _band_and_limit(gate),
            deciding.passes_clause(gate) or "-",
            _note(gate),
        ]
        for gate in gates
    ]
    return table(["GATE", "VERDICT", "CANARY", "CONTROL", "CHANGE", "BREACH", "PASS", "OUTLOOK"], rows)


def event_line(row: Mapping[str, Any]) -> str:
    """One event as one line: when, what, of which rollout, its id and its position."""
    event = row["event"]
    about = event.get("stage") or event.get("step") or event.get("version") or event.get("subscriber") or ""
    ground = event.get("ground", {}).get("why", "") if isinstance(event.get("ground"), dict) else ""
    words = [clock(event.get("time")), event["type"], event.get("rollout") or event["target"], str(about), ground]
    said = "  ".join(word for word in words if word)
    return plain(f"{said}  {event['id']}  {row['topic']}/{row['partition']}@{row['offset']}")


def _version(view: View) -> str:
    release = view.get("release") or {}
    return str(release.get("version", "-"))


def _facts(view: View) -> RenderableType:
    ground = view.get("ground") or {}
    why = ": ".join(str(part) for part in (str(ground.get("why", "")).replace("_", " "), ground.get("text")) if part)
    actual = view.get("exposure_actual")
    exposure = percent(view.get("exposure")) + (f" (served: {percent(actual)})" if actual is not None else "")
    facts = [
        ("version", _version(view)),
        ("plan", f"{view.get('plan_name', '-')} {str(view.get('plan_hash') or '')[:12]}"),
        ("exposure", exposure),
        ("bake", f"{view.get('judged') or 0} windows judged; {view.get('bake_min')} to {view.get('bake_max')} wanted"),
        ("because", why or "-"),
        ("sequence", str(view.get("sequence"))),
        ("began", clock(view.get("began_at"))),
        ("changed", clock(view.get("updated_at"))),
    ]
    if view.get("next"):
        facts.append(("next", _next(view["next"])))
    if view.get("approvals_missing"):
        facts.append(("approvals missing", str(view["approvals_missing"])))
    return table(["", ""], facts)


def _next(following: View) -> str:
    words = [str(following.get("what", "")).replace("_", " "), following.get("stage") or ""]
    if following.get("windows") is not None:
        most = following.get("windows_at_most")
        words.append(f"after {following['windows']} to {most} more windows" if most is not None else "")
    if following.get("at"):
        words.append(f"not before {clock(following['at'])}")
    elif following.get("at_latest"):
        words.append(f"decided by {clock(following['at_latest'])}")
    if following.get("lacks"):
        words.append(f"({following['lacks']})")
    if following.get("who") or following.get("approvers"):
        words.append(f"by {', '.join(following.get('who') or following['approvers'])}")
    return " ".join(word for word in words if word)


def _ladder(view: View) -> RenderableType:
    rows = [
        [
            "→" if stage.get("name") == view.get("stage") else " ",
            str(stage["name"]),
            percent(stage.get("exposure")),
            str(stage.get("state") or "-"),
            ", ".join(stage.get("approvers") or []),
        ]
        for stage in view.get("stages") or []
    ]
    return table(["", "STAGE", "EXPOSURE", "STATE", "APPROVED BY ROLE"], rows)


def _rollback(rollback: View) -> RenderableType:
    contained = rollback.get("contained_seconds")
    recovered = {True: "verified", False: "not verified", None: "not yet known"}[rollback.get("recovered")]
    if rollback.get("recovered") and not rollback.get("recovered_at"):
        recovered = "not needed: nobody had the release"
    rows = [
        ("rollback started", clock(rollback.get("started_at"))),
        ("contained after", f"{contained:.3f} s" if contained is not None else "not yet"),
        ("recovery", recovered),
    ]
    rows += [
        (f"step {step['step']}", " ".join(filter(None, (step["state"], step.get("detail")))))
        for step in rollback.get("steps") or []
    ]
    rows += [("escalated", str(text)) for text in rollback.get("escalations") or []]
    return table(["", ""], rows)


def _side(side: View | None) -> str:
    if not side or not side.get("n"):
        return "-"
    value = side.get("value")
    shown = f"{value:.4g}" if value is not None else "-"
    return f"{shown} of {side['n']:.0f}"


def _signed(change: float | None) -> str:
    return "-" if change is None else f"{100 * change:+.1f}%"


def _band_and_limit(gate: View) -> str:
    """Return the band and the limit of an event of an older judge."""
    low, high = gate.get("low"), gate.get("high")
    limit = gate.get("tolerance_effective") or gate.get("tolerance")
    if low is None and high is None:
        return "-" if limit is None else f"limit {percent(limit)}"
    return f"{_signed(low)} to {_signed(high)}, limit {percent(limit)}"


def _note(gate: View) -> str:
    notes = [str(gate["no_data"]).replace("_", " ")] if gate.get("no_data") else []
    notes += [outlooks.outlook(gate)] if outlooks.outlook(gate) else []
    notes += [str(flag).replace("_", " ") for flag in gate.get("flags") or []]
    return ", ".join(notes)
