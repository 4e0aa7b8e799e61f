"""`penstock metrics`: what telemetry arrives, cohort by cohort and gate by gate, and what is wrong with it."""

from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from penstock.cli.client import connect
from penstock.cli.events.streaming import Since, checked_since, messages, row_of
from penstock.cli.output import Json, Jsonl, Output, Quiet, table
from penstock.cli.plans.why import explained
from penstock.errors import InvalidError
from penstock.events import Cohort, Event, Measure, WindowClosed, WindowsRefused, from_json

app = typer.Typer(no_args_is_help=True, help="Look at the telemetry that arrives.")

Target = Annotated[
    str | None, typer.Option("--target", help="Only this target, `environment/service/flag` or a part of it.")
]
_TYPES = ["window.closed", "windows.refused"]
_MOST = 10_000
_RECENT = "10m"


@app.command()
def tail(
    target: Target = None,
    since: Since = None,
    count: Annotated[int | None, typer.Option("--count", "-n", min=1, help="End after so many.")] = None,
    jsonl: Jsonl = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Print windows as they close: requests and measures of canary and baseline."""
    out = Output(json, jsonl or json, quiet)
    shown = 0
    with connect() as client:
        for message in messages(client, _TYPES, None, since, None):
            row = row_of(message)
            event = _read(row["event"])
            if event is None or (target and target not in event.target):
                continue
            if out.machine:
                out.line(row)
            else:
                out.out.print(_line(event), soft_wrap=True)
            shown += 1
            if shown == count:
                return


@app.command()
def cohorts(target: Target = None, since: Since = _RECENT, json: Json = False, jsonl: Jsonl = False) -> None:
    """Show which cohorts report, how much, and how the A/A halves are formed."""
    documents = [_cohort(key, windows) for key, windows in _by_target(target, since).items()]
    rows = [
        [
            found["target"],
            str(found["windows"]),
            *(_requests(found["requests"].get(cohort)) for cohort in Cohort),
            _or_dash(found["halves"]),
            _or_dash(found["export_interval"]),
            str(found["late"]),
        ]
        for found in documents
    ]
    headings = ["TARGET", "WINDOWS", *(cohort.upper() for cohort in Cohort), "HALVES BY", "EXPORT S", "LATE"]
    Output(json, jsonl).rows("cohorts", documents, lambda: table(headings, rows) if rows else _nothing(since))


@app.command()
def names(target: Target = None, since: Since = _RECENT, json: Json = False, jsonl: Jsonl = False) -> None:
    """Show which gates are measured, in how many windows of each cohort, and what is wrong with the others."""
    documents = [found for key, windows in _by_target(target, since).items() for found in _gates(key, windows)]
    rows = [
        [
            found["target"],
            found["gate"],
            _or_dash(found["kind"]),
            f"{found['canary']}/{found['windows']}",
            f"{found['baseline']}/{found['windows']}",
            " ".join(found["doubts"]) or "-",
        ]
        for found in documents
    ]
    headings = ["TARGET", "GATE", "MEASURED AS", "CANARY", "BASELINE", "WRONG WITH IT"]
    Output(json, jsonl).rows("names", documents, lambda: table(headings, rows) if rows else _nothing(since))


@app.command()
def why(
    target: Annotated[str, typer.Argument(help="`environment/service/flag`, or a part of it.")],
    gate: Annotated[str | None, typer.Argument(help="Only this gate of the plan.")] = None,
    since: Since = _RECENT,
    json: Json = False,
    jsonl: Jsonl = False,
) -> None:
    """Explain for each gate what arrived, what was ignored and why, and what to change."""
    found = [document for windows in _by_target(target, since).values() for document in explained(windows, gate)]
    Output(json, jsonl).rows("gates", found, lambda: "\n".join(map(_explanation, found)) or _nothing(since))


def _explanation(found: dict[str, Any]) -> str:
    counts = ", ".join(f"{cohort} {count} of {found['windows']}" for cohort, count in found["measured"].items())
    lines = [f"{found['target']}  {found['gate']}: windows measured: {counts}"]
    return "\n".join([*lines, *(f"  {reason}" for reason in found["reasons"] or ["nothing is wrong with it"])])


def _by_target(target: str | None, since: str | None) -> dict[str, list[WindowClosed]]:
    with connect() as client:
        rows = client.events(types=_TYPES[0], since=checked_since(since), limit=_MOST)
    found: dict[str, list[WindowClosed]] = {}
    for row in rows:
        event = _read(row["event"])
        if isinstance(event, WindowClosed) and (not target or target in event.target):
            found.setdefault(event.target, []).append(event)
    return dict(sorted(found.items()))


def _read(document: Any) -> Event | None:
    try:
        return from_json(document)
    except InvalidError:
        # A newer server may say what this version does not know.
        return None


def _cohort(target: str, windows: list[WindowClosed]) -> dict[str, Any]:
    requests: Counter[str] = Counter()
    for window in windows:
        for cohort, gates in window.measures.items():
            requests[cohort.value] += int(max(map(_amount, gates.values()), default=0))
    newest = windows[-1]
    return {
        "target": target,
        "windows": len(windows),
        "requests": dict(requests),
        "halves": newest.halves.value if newest.halves else None,
        "export_interval": newest.export_interval,
        "late": sum(window.late for window in windows),
    }


def _gates(target: str, windows: list[WindowClosed]) -> Iterator[dict[str, Any]]:
    measured: dict[str, Counter[str]] = {}
    kinds: dict[str, str] = {}
    doubts: dict[str, set[str]] = {}
    for window in windows:
        for cohort, gates in window.measures.items():
            for gate, measure in gates.items():
                measured.setdefault(gate, Counter())[cohort.value] += 1
                kinds[gate] = measure.kind
        for gate, doubt in window.doubts.items():
            doubts.setdefault(gate, set()).add(doubt.value)
    for gate in sorted({*measured, *doubts}):
        counted = measured.get(gate, Counter())
        yield {
            "target": target,
            "gate": gate,
            "kind": kinds.get(gate),
            "windows": len(windows),
            "canary": counted["canary"],
            "baseline": counted["baseline"],
            "doubts": sorted(doubts.get(gate, ())),
        }


def _line(event: Event) -> str:
    if isinstance(event, WindowsRefused):
        answer = f"widened to {event.widened_to:g} s" if event.widened_to else "no window is closed"
        asked, interval = f"{event.asked:g} s", f"{event.export_interval:g} s"
        return f"{event.target}  windows of {asked} refused: sources export every {interval}; {answer}"
    assert isinstance(event, WindowClosed)
    sides = [f"{cohort}: {_side(event.measures.get(cohort, {}))}" for cohort in (Cohort.CANARY, Cohort.BASELINE)]
    wrong = "".join(f"  {gate}: {doubt.value}" for gate, doubt in sorted(event.doubts.items()))
    late = f"  late {event.late}" if event.late else ""
    return f"{event.end:%H:%M:%S} {event.seconds:g} s  {event.target}  {'  '.join(sides)}{late}{wrong}"


def _side(gates: dict[str, Measure]) -> str:
    return ", ".join(f"{gate} {_told(measure)}" for gate, measure in sorted(gates.items())) or "nothing reported"


def _told(measure: Measure) -> str:
    match measure.kind:
        case "ratio":
            return f"{measure.events:g} of {measure.total:g}"
        case "gauge":
            return f"{measure.sum / measure.count:g}" if measure.count else "none"
        case "count":
            return f"{measure.value:g}"
        case _:
            return f"{measure.count} values, mean {measure.sum / measure.count:.3g}" if measure.count else "no values"


def _amount(measure: Measure) -> float:
    match measure.kind:
        case "ratio":
            return measure.total
        case "exponential" | "explicit":
            return measure.count
        case _:
            return 0


def _requests(count: int | None) -> str:
    return "-" if count is None else str(count)


def _or_dash(value: object) -> str:
    return "-" if value is None else str(value)


def _nothing(since: str | None) -> str:
    return (
        f"no window closed in the last {since or 'hours'}: is a plan registered for the target? `penstock plans list` "
        "shows them; sources must send service.name and deployment.environment.name as the plan has them"
    )
