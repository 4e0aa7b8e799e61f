"""`penstock replay`: decide a rollout again from its record. It reads, compares and says; it never emits."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType

from penstock import replay as again
from penstock.chain import Decide
from penstock.cli import local
from penstock.cli.client import connect, settings
from penstock.cli.exits import Exits
from penstock.cli.output import Json, Output, Quiet, dumps, plain, table
from penstock.cli.plans.commands import text_of
from penstock.cli.record.evidence import load, read_history, save
from penstock.cli.rollouts.views import clock
from penstock.errors import NotFoundError, PenstockError
from penstock.plan import load_plan
from penstock.replay import Departure, Turn, what_if

app = typer.Typer(help="Decide a rollout again from its record; never emits.")

_SHOWN = 20
"""Differences shown without --diff."""


@app.command()
def replay(
    rollout: Annotated[str | None, typer.Argument(metavar="[ID]", help="Id of the rollout.")] = None,
    target: Annotated[
        str | None, typer.Option(help="environment/service/flag; by default the server or the log is asked.")
    ] = None,
    until: Annotated[int | None, typer.Option(min=1, metavar="SEQ", help="Stop after this sequence number.")] = None,
    plan: Annotated[
        Path | None,
        typer.Option("--plan", metavar="FILE", help="What if this plan had been in force? Lists what differs."),
    ] = None,
    diff: Annotated[bool, typer.Option("--diff", help="Show every difference whole.")] = False,
    source: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="Replay a saved history instead of Kafka's logs.")
    ] = None,
    kept: Annotated[
        Path | None, typer.Option("--save", metavar="FILE", help="Save the history that was read, as JSON lines.")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Decide a rollout again from its recorded inputs; exit 0 if every decision and id came out as recorded, 1 if not.

    Ids and words must be the same, statistics within 1e-9; digests are checked over the recorded bytes. With --plan the
    exit code is 0 whatever differs.
    """
    out = Output(json, quiet=quiet)
    history, rollout = _history(rollout, target, source, out)
    if kept is not None:
        save(history, rollout, kept)
        out.progress(f"saved {len(history.lines)} records to {kept}")
    if plan is not None:
        _what_if(history, rollout, plan, out)
        return
    report = again.replay(history, rollout, deciders(), until)
    out.result(_document(report), lambda: _text(report, diff))
    raise typer.Exit(Exits.REACHED if report.reproduced else Exits.INTERNAL)


def deciders() -> dict[str, Decide]:
    """Return the deciders that are installed here, by service."""
    found: dict[str, Decide] = {}
    for service in again.DECIDED_BY.values():
        found[service] = local.load(f"{service}.decide").decide
    return found


def _what_if(history: again.History, rollout: str, plan: Path, out: Output) -> None:
    text = text_of(plan)
    load_plan(text, str(plan))
    found = what_if(history, rollout, deciders(), text)
    out.result({"rollout": rollout, "departures": [asdict(part) for part in found]}, lambda: _parts(found))


def _parts(found: list[Departure]) -> RenderableType:
    if not found:
        return "under this plan every decision would have been the same"
    return table(["RECORDED", "INSTEAD"], [[_turn(part.recorded), _turn(part.instead)] for part in found])


def _turn(turn: Turn | None) -> str:
    return f"{clock(turn.time)} {turn.type} {turn.stage} ({turn.why})" if turn else "-"


def _history(rollout: str | None, target: str | None, source: Path | None, out: Output) -> tuple[again.History, str]:
    if source is not None:
        history, saved_for = load(source)
        return history, rollout or saved_for
    if rollout is None:
        raise typer.BadParameter("name a rollout, or a saved history with --from FILE")
    out.progress("reading the logs")
    return read_history(settings(), rollout, target or _target(rollout)), rollout


def _target(rollout: str) -> str | None:
    # The console knows at once; without it the rollout log tells.
    try:
        with connect() as client:
            return str(client.rollout(rollout)["target"])
    except NotFoundError:
        raise
    except PenstockError:
        return None


def _document(report: again.Report) -> dict[str, Any]:
    return {**asdict(report), "reproduced": report.reproduced, "sentence": report.sentence}


def _text(report: again.Report, diff: bool) -> RenderableType:
    parts: list[RenderableType] = [f"{report.rollout}  {plain(report.target)}", report.sentence]
    counted = ", ".join(f"{log} {count}" for log, count in report.by_log.items())
    parts.append(f"records: {counted}; {report.windows} windows found in the window log as they were read")
    if report.ignored:
        parts.append(f"{report.ignored} records in these logs lost a race and never counted")
    parts.append(f"decided by version {', '.join(report.code) or '-'}, plan {', '.join(p[:12] for p in report.plans)}")
    parts += [f"not decided again: {log} ({why})" for log, why in report.skipped.items()]
    shown = report.differences if diff else report.differences[:_SHOWN]
    if shown:
        rows = [[f"{d.log}@{d.offset}", d.path, _short(d.recorded, diff), _short(d.again, diff)] for d in shown]
        parts += ["", table(["RECORD", "WHERE", "RECORDED", "AGAIN"], rows)]
    if len(shown) < len(report.differences):
        parts.append(f"and {len(report.differences) - len(shown)} more; see them with --diff")
    return Group(*parts)


def _short(value: object, whole: bool) -> str:
    text = dumps(value)
    return text if whole or len(text) <= 60 else f"{text[:57]}..."
