"""`penstock rollouts`: list, show, wait and explain; the verbs that act are in actions.py."""

from typing import Annotated

import typer
from rich.live import Live

from penstock.cli.client import connect
from penstock.cli.exits import Exits
from penstock.cli.output import Json, Jsonl, Output, Quiet, plain
from penstock.cli.rollouts import views
from penstock.cli.rollouts.actions import approve, hold, promote, resume, rollback
from penstock.cli.rollouts.waiting import GOALS, Clock, change_of, follow, outcome, unknown_stage, why_rolled_back
from penstock.client import Client

app = typer.Typer(no_args_is_help=True, help="List, show, wait for, explain and steer rollouts.")

Id = Annotated[str, typer.Argument(metavar="ID", help="Id of the rollout, such as ro-0123456789ab.")]

_HEARTBEAT = 60.0
"""Seconds without a change after which a heartbeat is printed."""


@app.command("list")
def list_(
    target: Annotated[str | None, typer.Option(help="Only this environment/service/flag.")] = None,
    phase: Annotated[str | None, typer.Option(help="Only this phase, such as baking or rolled_back.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    json: Json = False,
    jsonl: Jsonl = False,
) -> None:
    """List rollouts, one a line, those that need attention first."""
    with connect() as client:
        found = sorted(client.rollouts(target=target, phase=phase, limit=limit), key=views.urgency)
    Output(json, jsonl).rows("rollouts", found, lambda: views.rollouts_table(found))


@app.command()
def show(
    rollout: Id,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Stay, and show every change.")] = False,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks, with --watch.")] = 1.0,
    json: Json = False,
    jsonl: Jsonl = False,
    quiet: Quiet = False,
) -> None:
    """Show what a rollout is doing, why, and what comes next."""
    out = Output(json, jsonl or (json and watch), quiet)
    with connect() as client:
        if not watch:
            view = client.rollout(rollout)
            out.result(view, lambda: views.rollout_page(view))
        elif out.machine or not out.out.is_terminal:
            _wait(client, rollout, out, every, goal=None, timeout=None, patient=True)
        else:
            _live(client, rollout, out, every)


@app.command()
def wait(
    rollout: Id,
    goal: Annotated[
        str, typer.Option("--for", metavar="GOAL", help=f"{', '.join(GOALS)}, or stage:NAME.")
    ] = "promoted",
    timeout: Annotated[float | None, typer.Option(min=0, help="Seconds; without it, wait indefinitely.")] = None,
    patient: Annotated[
        bool, typer.Option("--patient", help="Wait through holds and missing approvals, until the timeout.")
    ] = False,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 1.0,
    json: Json = False,
    jsonl: Jsonl = False,
    quiet: Quiet = False,
) -> None:
    """Wait until a rollout is promoted (or another goal); the exit code says how it ended.

    0 reached, 3 timeout, 8 waiting for an approval, 10 rolled back, 11 aborted by a person, 12 held or inconclusive,
    13 superseded; 4 not authorised, 5 not found, 6 unreachable, 2 usage, 1 internal or ended otherwise.
    """
    if goal not in GOALS and not goal.startswith("stage:"):
        raise typer.BadParameter(f"{goal!r} is none of {', '.join(GOALS)}, stage:NAME", param_hint="--for")
    with connect() as client:
        code = _wait(client, rollout, Output(json, jsonl, quiet), every, goal, timeout, patient)
    raise typer.Exit(code)


@app.command()
def explain(rollout: Id, json: Json = False) -> None:
    """Say in a sentence why a rollout is where it is, with the numbers of its gates."""
    with connect() as client:
        view = client.rollout(rollout)
    names = ("id", "target", "phase", "stage", "sentence", "word", "ground", "gates", "approvals_missing")
    explained = {name: view[name] for name in names if name in view}
    out = Output(json)
    out.result(explained, lambda: plain(view.get("sentence") or "nothing has been judged yet"))
    if not json and view.get("gates"):
        out.out.print(views.gates_table(view["gates"]))


def _wait(
    client: Client,
    rollout: str,
    out: Output,
    every: float,
    goal: str | None,
    timeout: float | None,
    patient: bool,
    clock: Clock | None = None,
) -> Exits:
    """Print a line per change on stdout and a heartbeat per minute on stderr; without a goal, wait for its end."""
    clock = clock or Clock()
    began = spoke = clock.now()
    last: object = None
    view: views.View = {}
    code: Exits | None = None
    for view in follow(client, rollout, clock, every, out.progress):
        if lost := unknown_stage(view, goal or ""):
            raise typer.BadParameter(lost, param_hint="--for")
        change, now = change_of(view), clock.now()
        if change != last:
            last, spoke = change, now
            if out.machine:
                if out.jsonl:
                    out.line(view)
            else:
                out.out.print(views.line(view, clock.wall()), soft_wrap=True)
        elif now - spoke >= _HEARTBEAT:
            spoke = now
            out.progress(f"{clock.wall()}  still {views.progress(view)} after {now - began:.0f} s{views.awaited(view)}")
        code = outcome(view, goal or "promoted", patient, why_rolled_back(view))
        if code is not None:
            break
        if timeout is not None and now - began >= timeout:
            out.progress(f"timeout after {timeout:.0f} s; look at it: penstock rollouts show {rollout}")
            code = Exits.TIMEOUT
            break
    if out.json and not out.jsonl:
        out.result(view, lambda: "")
    return code or Exits.REACHED


def _live(client: Client, rollout: str, out: Output, every: float) -> None:
    with Live(console=out.out, auto_refresh=False, transient=False) as screen:
        for view in follow(client, rollout, Clock(), every, out.progress):
            screen.update(views.rollout_page(view), refresh=True)
            if outcome(view, "promoted", True, why_rolled_back(view)) is not None:
                return


for verb in (promote, hold, resume, rollback, approve):
    app.command()(verb)
