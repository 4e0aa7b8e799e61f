"""`penstock plans`: lint and register plan files, list what is registered, print the schema, tell what gates see."""

from pathlib import Path
from typing import Annotated, Any

import typer

from penstock.cli.client import connect
from penstock.cli.exits import Exits
from penstock.cli.output import Json, Jsonl, Output, dumps, plain, table
from penstock.cli.plans.power import power_of, power_table, warnings_of
from penstock.cli.plans.scaffold import first_plan
from penstock.errors import InvalidError, PlanError, Problem
from penstock.plan import doubts_about, json_schema, load_plan, notes_on
from penstock.targets import parse_target

app = typer.Typer(no_args_is_help=True, help="Lint, register, list plans; their schema and power.")

Files = Annotated[list[Path], typer.Argument(metavar="FILE...", help="Plan files.")]
Errors = Annotated[float | None, typer.Option(min=0, max=1, help="Share of requests that fail now, such as 0.005.")]
Past = Annotated[
    Path | None,
    typer.Option(
        "--history",
        metavar="FILE",
        help="Past windows, to learn the noise and the rates from: `events list --types window.closed --jsonl`.",
    ),
]
File = Annotated[Path, typer.Argument(metavar="FILE", help="A plan file.")]


@app.command()
def init(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="environment/service/flag.")],
    quick: Annotated[bool, typer.Option("--quick", help="Short windows, wide margins: a try of some minutes.")] = False,
) -> None:
    """Print a first plan for a target, with a comment at every choice: `plans init TARGET > plan.yaml`."""
    try:
        text = first_plan(parse_target(target), quick)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    typer.echo(text, nl=False)


@app.command()
def lint(
    files: Files,
    traffic: Annotated[
        float | None,
        typer.Option(min=0, help="Requests a second of the service: warn of gates that cannot see enough."),
    ] = None,
    errors: Errors = None,
    history: Past = None,
    json: Json = False,
    jsonl: Jsonl = False,
) -> None:
    """Check plans: every problem with its line. Exits 2 when there is one; warnings and notes alone exit 0."""
    out = Output(json, jsonl)
    findings: list[dict[str, Any]] = []
    for file in files:
        try:
            plan = load_plan(text_of(file), str(file), new=True)
        except PlanError as error:
            findings += [_finding(file, "problem", problem) for problem in error.problems]
            continue
        findings += [_finding(file, "warning", doubt) for doubt in doubts_about(plan)]
        findings += [_finding(file, "note", note) for note in notes_on(plan)]
        if traffic is not None:
            weak = warnings_of(power_of(text_of(file), traffic, errors, history))
            findings += [_finding(file, "warning", warning) for warning in weak]
    out.rows(
        "findings",
        findings,
        lambda: "\n".join(map(_line, findings)) or "\n".join(f"{file}: no problems" for file in files),
    )
    if any(finding["kind"] == "problem" for finding in findings):
        raise typer.Exit(Exits.USAGE)


@app.command()
def register(
    file: File,
    reason: Annotated[str, typer.Option("--reason", "-m", help="Why; it is kept in the record.")] = "registered",
    json: Json = False,
) -> None:
    """Register a plan for its target: deploys may name it, and its metrics are watched from here on."""
    text = text_of(file)
    load_plan(text, str(file), new=True)
    with connect() as client:
        answer = client.register_plan(text, reason)
    event = answer.get("event", {})
    said = f"{event.get('name', file)} registered for {event.get('target', '-')}: {event.get('plan_hash', '')}"
    Output(json).result(answer, lambda: plain(said))


@app.command("list")
def list_(json: Json = False, jsonl: Jsonl = False) -> None:
    """List the registered plans."""
    with connect() as client:
        plans = client.get("/api/plans")["plans"]
    rows = [
        [str(plan.get("name", "-")), str(plan.get("target", "-")), str(plan.get("plan_hash", "-"))[:12]]
        for plan in plans
    ]
    out = Output(json, jsonl)
    out.rows("plans", plans, lambda: table(["NAME", "TARGET", "HASH"], rows) if rows else "no plans")


@app.command()
def schema() -> None:
    """Print the JSON Schema of plans, for editors."""
    typer.echo(dumps(json_schema(), indent=2))


@app.command()
def power(
    file: File,
    traffic: Annotated[float, typer.Option(min=0, help="Requests a second of the service, all cohorts together.")],
    errors: Errors = None,
    history: Past = None,
    json: Json = False,
    jsonl: Jsonl = False,
) -> None:
    """Show the smallest regression each gate can detect at your traffic, and how to detect smaller ones."""
    text = text_of(file)
    load_plan(text, str(file), new=True)
    rows = power_of(text, traffic, errors, history)
    Output(json, jsonl).rows("power", rows, lambda: power_table(rows))


def text_of(file: Path) -> str:
    """Return the exact text of a plan file.

    Raises:
        InvalidError: it cannot be read.
    """
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidError(f"plan file {file}", [Problem("", str(error))]) from None


def _finding(file: Path, kind: str, problem: Problem) -> dict[str, Any]:
    return {"file": str(file), "line": problem.line, "kind": kind, "where": problem.where, "what": problem.what}


def _line(finding: dict[str, Any]) -> str:
    place = f"{finding['file']}:{finding['line']}" if finding["line"] is not None else finding["file"]
    where = f"{finding['where']}: " if finding["where"] else ""
    return plain(f"{place}: {finding['kind']}: {where}{finding['what']}")
