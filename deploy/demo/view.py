"""The live view: a ladder and a verdict a rollout, what its gates measured, and the last things that happened."""

from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from penstock.events import (
    DeliverySucceeded,
    Event,
    ExposureChanged,
    ExposureContained,
    GateVerdict,
    RecoveryVerified,
    RolloutEvent,
    StageEntered,
    StageExtended,
    StepCompleted,
    WindowClosed,
)
from penstock.rollout import Phase, RolloutState

from .features import BAD, GOOD, SAME, UNMEASURED
from .story import Story

TITLES: dict[str, str] = {
    GOOD.target: "a good release",
    BAD.target: "a bad release: its mean looks fine",
    SAME.target: "A/A: nothing has changed",
    UNMEASURED.target: "a gate that nobody reports to",
}
MARKS: dict[str, tuple[str, str]] = {
    "announced": ("○", "blue"),
    "baking": ("◐", "blue"),
    "held": ("▲", "yellow"),
    "rolling_back": ("✖", "red"),
    "rolled_back": ("✖", "red"),
    "completed": ("✔", "green"),
    "breach": ("✖", "red"),
    "no_data": ("◌", "yellow"),
    "inconclusive": ("◐", "blue"),
    "passed": ("✔", "green"),
}
_LAST = 7


def screen(stories: Iterable[Story], lines: Sequence[str], elapsed: float, note: str) -> RenderableType:
    """Return the whole view."""
    table = Table(expand=True, show_edge=False, pad_edge=False, header_style="bold")
    for heading, ratio in (("ROLLOUT", 3), ("STAGES", 4), ("VERDICT", 3), ("EVIDENCE: CANARY AGAINST CONTROL", 5)):
        table.add_column(heading, ratio=ratio, overflow="fold")
    for story in stories:
        name = Text(story.feature.flag, style="bold")
        name.append(f"\n{TITLES[story.feature.target]}", style="dim")
        table.add_row(name, _ladder(story), _verdict(story), _evidence(story))
        table.add_row("", "", "", "")
    recent = Text("\n".join(lines[-_LAST:]), overflow="ellipsis", no_wrap=True)
    foot = Text(f"{elapsed:5.0f} s   {note}", style="dim")
    return Panel(Group(table, recent, Text(""), foot), title="Penstock demo · simulated traffic, measured latencies")


def _marked(word: str) -> Text:
    icon, style = MARKS.get(word, ("·", ""))
    return Text(f"{icon} {word.replace('_', ' ')}", style=style)


def _ladder(story: Story) -> Text:
    rollout = story.rollout
    if rollout is None:
        return Text(f"measuring control, {len(story.windows)} windows", style="dim")
    text = _marked(rollout.phase)
    for index, stage in enumerate(rollout.stages):
        icon, style = _step(rollout, index)
        text.append(f"\n{icon} {stage.name} {100 * stage.exposure:.0f} %", style=style)
        if index == rollout.index and rollout.phase is Phase.BAKING and story.verdicts:
            text.append(f"  window {story.verdicts[-1].judged} of {rollout.bake_min}+", style="dim")
    return text


def _step(rollout: RolloutState, index: int) -> tuple[str, str]:
    if rollout.phase is Phase.COMPLETED or index < rollout.index:
        return "✔", "green"
    if index > rollout.index:
        return "·", "dim"
    if rollout.phase in {Phase.ROLLING_BACK, Phase.ROLLED_BACK}:
        return "✖", "red"
    return ("▲", "yellow") if rollout.phase is Phase.HELD else ("◐", "blue")


def _verdict(story: Story) -> Text:
    if not story.verdicts:
        return Text("-", style="dim")
    last = story.verdicts[-1]
    text = _marked(last.word)
    for gate in last.gates:
        if gate.authority != "advise":
            icon, style = MARKS.get(gate.word, ("·", ""))
            why = f", {gate.no_data.replace('_', ' ')}" if gate.no_data else ""
            text.append(f"\n{icon} {gate.gate} {gate.word.replace('_', ' ')}{why}", style=style)
    return text


def _evidence(story: Story) -> Text:
    text = Text()
    if not story.verdicts:
        return text
    for gate in story.verdicts[-1].gates:
        if gate.authority != "advise" and gate.canary.value is not None and gate.baseline.value is not None:
            text.append(("\n" if text else "") + _numbers(gate))
    return text


def _numbers(gate: GateVerdict) -> str:
    canary, baseline = gate.canary.value or 0.0, gate.baseline.value or 0.0
    if gate.unit == "s":
        shown = f"{1000 * canary:.0f} ms against {1000 * baseline:.0f} ms"
    else:
        shown = f"{100 * canary:.2f} % against {100 * baseline:.2f} %"
    harm = f", harm {10**gate.evidence:.2g}" if gate.evidence is not None and gate.evidence > 0 else ""
    limit = f" of {10**gate.threshold:.0f}" if harm and gate.threshold is not None else ""
    return f"{gate.gate}: {shown}{harm}{limit}"


def line_of(event: Event, flag: str) -> str | None:
    """Return the line of an event that people want to see; None for the others."""
    words = _words_of(event)
    return None if words is None else f"{event.time:%H:%M:%S}  {flag:<14} {words}"


def _words_of(event: Event) -> str | None:
    match event:
        case WindowClosed():
            return None
        case StageEntered():
            return f"{event.type}  {event.stage}, {100 * event.exposure:.0f} % of users"
        case StageExtended():
            return f"{event.type}  {event.stage}, up to {event.bake_max} windows"
        case RolloutEvent():
            alike = [gate for gate in event.ground.gates if gate.word == event.ground.word]
            gates = ", ".join(gate.gate for gate in alike if gate.authority != "advise")
            why = event.ground.why.replace("_", " ")
            return f"{event.type}  {why}{f': {gates}' if gates and event.ground.word != 'passed' else ''}"
        case ExposureChanged() if event.exposure != event.previous:
            return f"{event.type}  {100 * event.previous:.0f} % -> {100 * event.exposure:.0f} %"
        case ExposureContained():
            return f"{event.type}  after {1000 * event.seconds:.0f} ms"
        case StepCompleted():
            return f"{event.type}  {event.step}"
        case RecoveryVerified() | DeliverySucceeded():
            return event.type
        case _:
            return None
