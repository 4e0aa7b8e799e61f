"""A postmortem as Markdown: the facts written, the judgement left as headed blanks. Roles, not names, by default."""

import re
from collections.abc import Iterable, Sequence

from penstock.errors import PlanError
from penstock.events import GateVerdict
from penstock.plan import load_plan
from penstock.postmortem.facts import Durations, Moment, Postmortem

_BLANKS = (
    ("Contributing factors", "What made this possible? Conditions, not culprits."),
    ("What went well", ""),
    ("What was luck", ""),
    ("Lessons", ""),
    ("Actions", "Each with a role that owns it and a date."),
)


def markdown(facts: Postmortem, names: bool = False) -> str:
    """Return the draft.

    Args:
        names: show identities of people instead of their roles.
    """
    parts = [
        f"# Postmortem: {_cell(facts.service)} {_cell(facts.version)} ({facts.rollout})",
        "*Draft, written from the record. All times are UTC. Facts carry the id of the event that they come from.*",
        f"{_summary(facts)}",
        "## What it was",
        _table(("", ""), _identity(facts)),
        "## Trigger",
        f"{_moment_words(facts.trigger, names)} ({_code(facts.trigger.id)}).",
        "## Detection",
        *_detection(facts),
        "## Impact",
        _impact(facts),
        "## Times",
        _table(("", "seconds", "from, to"), _times(facts.durations)),
        "## Timeline",
        _table(("time", "event", "what", "by", "id", "position"), _timeline(facts.timeline, names)),
        "## Policy in force",
        _policy(facts),
        "## Who was notified",
        _notifications(facts),
        *(f"## {heading}\n\n{_hint(hint)}" for heading, hint in _BLANKS),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _summary(facts: Postmortem) -> str:
    share = f"{100 * facts.impact.exposure:.4g} %"
    found = ""
    if facts.detection is not None:
        gates = ", ".join(gate.gate for gate in facts.detection.gates)
        found = f" because of {gates}" if gates else f" ({facts.detection.why.replace('_', ' ')})"
    return f"Version {_cell(facts.version)} on {facts.target} was {facts.outcome}{found}; at most {share} had it."


def _identity(facts: Postmortem) -> list[tuple[str, str]]:
    rows = [
        ("target", facts.target),
        ("release", f"{facts.service} {facts.version}"),
        ("plan", _Markup(f"{_cell(facts.plan_name)}, {_code(facts.plan_hash)}")),
        ("decided by", f"Penstock {facts.code}"),
    ]
    rows += [(name, text) for name, text in (("release notes", facts.notes), ("ticket", facts.ticket)) if text]
    return rows


def _detection(facts: Postmortem) -> Iterable[str]:
    found = facts.detection
    if found is None:
        yield "No rollback: nothing was detected that rolled the release back."
        return
    words = found.why.replace("_", " ")
    text = f": “{_cell(found.text)}”" if found.text else ""
    window = (
        f", by the window that ended {found.window_end} (verdict {_code(found.verdict or '')})"
        if found.window_end
        else ""
    )
    yield f"{words}{text}{window}."
    if found.gates:
        heads = ("gate", "verdict", "canary", "baseline", "change", "band", "limit", "evidence (log10)")
        yield _table(heads, [_gate(gate) for gate in found.gates])


def _gate(gate: GateVerdict) -> tuple[str, ...]:
    limit = gate.tolerance_effective if gate.tolerance_effective is not None else gate.tolerance
    evidence = f"{gate.evidence:.2f} of {gate.threshold:.2f}" if gate.evidence is not None and gate.threshold else "-"
    return (
        gate.gate,
        str(gate.word).replace("_", " "),
        f"{_number(gate.canary.value)} of {gate.canary.n:.0f}",
        f"{_number(gate.baseline.value)} of {gate.baseline.n:.0f}",
        _signed(gate.estimate),
        f"{_signed(gate.low)} to {_signed(gate.high)}",
        _signed(limit),
        evidence,
    )


def _impact(facts: Postmortem) -> str:
    impact = facts.impact
    seconds = "an unknown time" if impact.exposed_seconds is None else f"{impact.exposed_seconds:.1f} s"
    whole = "" if impact.complete else " (the windows at hand do not reach back to the first exposure: at least)"
    lines = [
        f"- Largest exposure: {100 * impact.exposure:.4g} % of the audience, for {seconds} in all.",
        f"- Requests served by the release: {impact.requests:.0f}, in {impact.windows} windows{whole}.",
    ]
    lines += [
        f"- {excess.gate}: {excess.canary_events:.0f} of {excess.canary_requests:.0f} requests, "
        f"{excess.excess:+.0f} against the baseline's rate of {100 * excess.baseline_rate:.3g} %."
        for excess in impact.excess
    ]
    return "\n".join(lines)


def _times(durations: Durations) -> list[tuple[str, str, str]]:
    rows = [
        ("to detect", durations.detect, "first exposure to the end of the window that tipped it"),
        ("to decide", durations.decide, "that window to the rollback, by event time"),
        ("to contain", durations.contain, "the rollback to the last flag client, measured"),
        ("to safe", durations.safe, "that window's end to the last flag client, by the clock"),
        ("to recover", durations.recover, "the rollback to the window that showed recovery"),
    ]
    return [(name, "not recorded" if value is None else f"{value:.3f}", text) for name, value, text in rows]


def _timeline(timeline: Sequence[Moment], names: bool) -> list[tuple[str, ...]]:
    return [
        (
            moment.time[:23].replace("T", " "),
            moment.type,
            moment.what,
            _who(moment, names),
            _code(moment.id),
            moment.position,
        )
        for moment in timeline
    ]


def _policy(facts: Postmortem) -> str:
    event = _code(facts.trigger.id)
    head = f"Plan {_cell(facts.plan_name)}, SHA-256 {_code(facts.plan_hash)}; it is whole in the event {event}."
    try:
        plan = load_plan(facts.plan_text)
    except PlanError:
        return f"{head} This version cannot read it."
    rows = [(name, f"{gate.kind}, {gate.authority}") for name, gate in plan.gates.items()]
    rows.append(("false rollback budget", f"{100 * plan.budget.false_rollback:.3g} %"))
    rows.append(("containment deadline", f"{plan.rollback.containment:.4g} s"))
    rows.append(("steps", ", ".join(step.name for step in plan.rollback.steps)))
    rows.append(("escalates to", ", ".join(plan.rollback.escalate_to) or "nobody"))
    return f"{head}\n\n{_table(('', ''), rows)}"


def _notifications(facts: Postmortem) -> str:
    lines = [f"Escalated: {_cell(reason)}." for reason in facts.escalations]
    rows = [
        (
            entry.time[:23].replace("T", " "),
            entry.subscriber,
            entry.event_type,
            str(entry.attempts),
            _delivery(entry.delivered),
        )
        for entry in facts.notified
    ]
    table = _table(("time", "subscriber", "event", "attempts", ""), rows) if rows else "No deliveries are recorded."
    return "\n\n".join([*lines, table])


def _delivery(delivered: bool) -> str:
    return "delivered" if delivered else "not delivered"


def _who(moment: Moment, names: bool) -> str:
    return moment.actor if names else moment.by


def _moment_words(moment: Moment, names: bool) -> str:
    by = _who(moment, names)
    return f"{moment.time[:23].replace('T', ' ')}: {moment.type}, {_cell(moment.what)}" + (
        f", by {_cell(by)}" if by else ""
    )


def _hint(hint: str) -> str:
    return f"_{hint}_" if hint else "_To be written._"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _signed(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:+.1f} %"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    lines += [f"| {' | '.join(map(_cell, row))} |" for row in rows]
    return "\n".join(lines)


class _Markup(str):
    """Markdown of our own, which is not escaped again."""

    __slots__ = ()


_SPECIAL = re.compile(r"([\\`*_\[\]#!|~@]|(?<=:)//|^[-+](?= )|^\d+(?=[.)]))")


def _clean(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _cell(text: str) -> str:
    # What others wrote must not end a table, start a heading, list, link or image, mention anybody, or carry HTML.
    if isinstance(text, _Markup):
        return text
    safe = _clean(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(r"\\\1", safe)


def _code(text: str) -> _Markup:
    return _Markup("`" + _clean(text).replace("`", "'").replace("|", "\\|") + "`")
