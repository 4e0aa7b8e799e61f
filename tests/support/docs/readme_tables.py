"""Tables of README.md, docs/events.md and the index of decisions: `python -m tests.support.docs.readme_tables`."""

import re
from pathlib import Path

from penstock.events import BY_TYPE
from penstock.events.timers import TimerFired
from penstock.topics import TOPICS, Kind, Topic, carriers_of

ROOT = Path(__file__).resolve().parents[3]
README = ROOT / "README.md"
EVENTS = ROOT / "docs" / "events.md"
PLAN = ROOT / "deploy" / "plans" / "checkout.yaml"

DECISIONS = ROOT / "docs" / "decisions"
INDEX = DECISIONS / "README.md"
INDEX_HEAD = """\
# Decisions

Short, dated records: context, decision, what was rejected and why, consequences. A decision that is overturned keeps
its record, which then names its successor. This index is made by `python -m tests.support.docs.readme_tables`.
"""
AREAS = {
    "record": "The record: chain, events, processes",
    "judge": "The judge",
    "metrics": "Metrics",
    "flags": "Flags",
    "access": "Access",
    "console": "Console",
}

_KINDS = {Kind.LOG: "private log", Kind.FRAMES: "private"}
_DAY = 86_400_000


def topics() -> str:
    """Return the table of topics, in flow order."""
    rows = [
        f"| `{topic.name}` | {_KINDS.get(topic.kind, topic.kind.value)} | {_names(topic.producers)} "
        f"| {_names(topic.consumers)} | {_kept(topic)} |"
        for topic in TOPICS
    ]
    return "\n".join(["| topic | for | written by | read by | kept |", "|---|---|---|---|---|", *rows])


def events() -> str:
    """Return the table of public events: what each says, on which topic."""
    rows = []
    for name, kind in BY_TYPE.items():
        carriers = carriers_of(name)
        if kind is TimerFired or not carriers:
            continue
        rows.append(f"| `{name}` | `{carriers[0].name}` | {_first_sentence(kind.__doc__ or '')} |")
    return "\n".join(["| type | topic | says |", "|---|---|---|", *rows])


def plan() -> str:
    """Return the plan file as Markdown code."""
    return f"```yaml\n{PLAN.read_text().rstrip()}\n```"


def decisions() -> str:
    """Return the index of docs/decisions: each record by its title, area by area, oldest first."""
    text = INDEX_HEAD
    for area, heading in AREAS.items():
        paths = sorted((DECISIONS / area).glob("20*.md"))
        rows = [f"- {path.name[:10]} [{_title(path)}]({area}/{path.name})" for path in paths]
        text += f"\n## {heading}\n\n" + "\n".join(rows) + "\n" if rows else ""
    return text


def _title(path: Path) -> str:
    return path.read_text().splitlines()[0].removeprefix("# ")


def parts() -> dict[Path, dict[str, str]]:
    """Return every generated part by its document and its mark."""
    return {README: {"plan": plan()}, EVENTS: {"topics": topics(), "events": events()}}


def filled(document: Path) -> str:
    """Return the document's text with every generated part as it must be."""
    text = document.read_text()
    for mark, part in parts()[document].items():
        pattern = re.compile(rf"(<!-- {mark}: [^>]* -->\n)(?:.*?\n)??(<!-- /{mark} -->)", re.DOTALL)
        text, count = pattern.subn(lambda found, part=part: f"{found[1]}{part}\n{found[2]}", text)
        assert count == 1, f"{document.name} has {count} places for {mark}"
    return text


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(names)


def _kept(topic: Topic) -> str:
    if topic.compacted:
        return "newest by key"
    return "without limit" if topic.retention_ms < 0 else f"{topic.retention_ms // _DAY} d"


def _first_sentence(text: str) -> str:
    first = " ".join(text.strip().split("\n\n")[0].split())
    return re.split(r"(?<=\.)\s", first)[0].replace("|", "\\|").rstrip(".")


if __name__ == "__main__":
    for document in parts():
        document.write_text(filled(document))
    INDEX.write_text(decisions())
