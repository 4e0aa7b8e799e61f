"""What each gate of a plan can see at a service's traffic, stage by stage, by the judge's own arithmetic."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.console import RenderableType

from penstock.cli import local
from penstock.cli.output import table
from penstock.errors import InvalidError, Problem
from penstock.events import WindowClosed, from_json
from penstock.plan import Plan, load_plan

_HELP: dict[str, Callable[[float], str]] = {
    "larger_share": lambda needs: f"an exposure of {100 * needs:.3g} %",
    "longer_bake": lambda needs: f"a bake of {needs:.0f} windows",
    "synthetic_traffic": lambda needs: f"{needs:.0f} requests a window",
    "pool_endpoints": lambda needs: f"pooling {needs:.0f} such endpoints",
    "absolute_tolerance": lambda needs: "an absolute part in its tolerance",
    "longer_past": lambda needs: f"a past of {needs:.0f} more hours",
}


def power_of(text: str, traffic: float, errors: float | None, history: Path | None = None) -> list[dict[str, Any]]:
    """Return a row a stage and gate: `visible` is the smallest relative degradation that its bake finds.

    Args:
        text: of the plan.
        traffic: requests a second of the whole service.
        errors: share that fails now, None for the history's, or the judge's guess.
        history: a file of past windows, a line each; None for the noise that the judge assumes before any.

    Raises:
        NotFoundError: the services are not installed here.
        InvalidError: the history cannot be read.
    """
    judge, specs = local.load("gate_evaluation.power"), local.load("gate_evaluation.judge_spec")
    plan, spec = load_plan(text), specs.judge_spec(text)
    rates = {gate.metric: errors for gate in spec.gates if gate.kind == "ratio"} if errors is not None else {}
    learned = _learned(plan, spec, history) if history is not None else None
    rows: list[dict[str, Any]] = []
    for stage in plan.stages:
        if stage.exposure >= 1.0 and stage.audience.all_of:
            # Everyone of the audience has it: the plan does not give its share of the traffic.
            continue
        staged = spec.staged(stage.bake.min, stage.bake.max)
        judged = stage.gates if stage.gates is not None else tuple(plan.gates)
        found = judge.rendered(judge.power(staged, traffic, stage.exposure, rates, learned))
        rows += [{"stage": stage.name, "bake": stage.bake.max, **row} for row in found if row["gate"] in judged]
    return rows


def _learned(plan: Plan, spec: Any, path: Path) -> Any:
    """Return what the A/A halves of the target's windows in a file teach of the plan's gates."""
    engine, windows = local.load("gate_evaluation.judge"), local.load("gate_evaluation.windows")
    learned = engine.History(spec.gates, spec.window_seconds)
    target = f"{plan.target.environment}/{plan.target.service}/{plan.target.flag}"
    for event in _windows_in(path):
        if event.target == target:
            learned.update(windows.judge_window(plan, event))
    if not learned.windows:
        raise InvalidError(f"history {path}", [Problem("", f"holds no window of {target} with both halves, a and b")])
    return learned


def _windows_in(path: Path) -> Iterator[WindowClosed]:
    try:
        for line in path.read_bytes().splitlines():
            document = msgspec.json.decode(line) if line.strip() else {}
            event = document.get("event", document)
            if event.get("type") == "window.closed":
                found = from_json(event)
                assert isinstance(found, WindowClosed)
                yield found
    except (OSError, ValueError, AttributeError, InvalidError) as error:
        raise InvalidError(f"history {path}", [Problem("", f"cannot be read: {error}")]) from None


def warnings_of(rows: Sequence[Mapping[str, Any]]) -> list[Problem]:
    """Return what is worth a warning: gates that cannot find, within their bake, what the plan refuses to pass."""
    return [
        Problem(
            f"stages.{row['stage']}.{row['gate']}",
            f"in {row['bake']} windows it sees changes of {_percent(row['visible'])} and more, "
            f"not the plan's own margin (noise {_noise(row)}); "
            f"what would help: {_helps(row) or 'nothing within reach'}",
        )
        for row in rows
        if not row["sees_margin"] and row["kind"] != "own_history"
    ]


def power_table(rows: Sequence[Mapping[str, Any]]) -> RenderableType:
    """The rows for people."""
    if not rows:
        return "no stage of this plan exposes a known share of the traffic"
    return table(
        ["STAGE", "GATE", "LIMIT", "SEES", "WINDOWS TO FIND MARGIN", "WINDOWS TO PASS", "BAKE", "NOISE", "WOULD HELP"],
        [
            [
                str(row["stage"]),
                str(row["gate"]),
                "-" if row["kind"] == "own_history" else _percent(row["tolerance"]),
                _percent(row["visible"]),
                _windows(row["windows_for_margin"]),
                _windows(row["windows_to_pass"]),
                f"{row['bake']} windows",
                _noise(row),
                _helps(row) if not row["sees_margin"] else "",
            ]
            for row in rows
        ],
    )


def _helps(row: Mapping[str, Any]) -> str:
    return ", or ".join(_HELP[entry["help"]](entry["needs"]) for entry in row["helps"])


def _noise(row: Mapping[str, Any]) -> str:
    if not row["noise"]:
        return "-"
    size = f"{100 * row['noise']:.2g} %"
    return f"{size}, learnt from {row['noise_windows']:.0f} windows" if row["noise_windows"] else f"{size}, assumed"


def _percent(share: float) -> str:
    return f"+{100 * share:,.0f} %" if share >= 10 else f"+{100 * share:.3g} %"


def _windows(count: float | None) -> str:
    return "never" if count is None else f"{count:.0f}"
