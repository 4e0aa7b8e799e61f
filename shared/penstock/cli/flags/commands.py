"""`penstock flags`: what is served, kill and undo, and flagd files served on a laptop or in CI."""

import json as json_
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from penstock.cli.flags.actions import archive, export, import_, kill, opt_out, undo
from penstock.cli.flags.client import connect
from penstock.cli.flags.references import references
from penstock.cli.local import load
from penstock.cli.output import Json, Jsonl, Output, dumps, plain, table
from penstock.errors import InvalidError, Problem
from penstock.wire.depth import MOST_LEVELS, too_deep, unwritable

app = typer.Typer(no_args_is_help=True, help="Flags: list, show, kill, undo, serve, import, export.")
for verb in (kill, undo, opt_out, archive, export):
    app.command()(verb)
app.command("import")(import_)


@app.command("list")
def list_(
    stale: Annotated[bool, typer.Option("--stale", help="Only flags that should go, with the rule.")] = False,
    json: Json = False,
    jsonl: Jsonl = False,
) -> None:
    """List flags: what they expose, who owns them, and whether they have outlived their purpose."""
    with connect() as client:
        listing = client.listing()
    found = [flag for flag in listing["flags"] if flag["stale"] or not stale]
    if old := listing.get("stale"):
        typer.echo(plain(f"as of {old['newest']}: {old['why']}, and it has not come back yet"), err=True)
    headings = ("TARGET", "EXPOSURE", "VERSION", "STATE", "OWNER", "STALE", "LAST EVALUATED (OFREP)")
    Output(json, jsonl).rows("flags", found, lambda: table(headings, [_row(flag) for flag in found]))


@app.command()
def show(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="environment/service/flag")], json: Json = False
) -> None:
    """Show a flag: its definition, kills, opt-outs, history, and how many clients were sent it."""
    with connect() as client:
        flag = client.flag(target)
    Output(json).result(flag, lambda: _page(flag))


@app.command("references")
def references_(
    folder: Annotated[Path, typer.Argument(metavar="DIR", exists=True, file_okay=False, help="Source code.")],
    key: Annotated[list[str] | None, typer.Option("--key", help="Flag key; all known flags without it.")] = None,
    json: Json = False,
    jsonl: Jsonl = False,
) -> None:
    """Find flag keys in source code. Exits 0 also when there are none."""
    keys = key or []
    if not keys:
        with connect() as client:
            keys = sorted({flag["target"].split("/")[2] for flag in client.flags()})
    found = list(references(folder, keys))
    documents = [{**one._asdict(), "path": str(one.path)} for one in found]
    unnamed = ", ".join(sorted(set(keys) - {one.key for one in found}))
    Output(json, jsonl).rows(
        "references",
        documents,
        lambda: "\n".join(
            [*(plain(f"{one.path}:{one.line}: {one.key}: {one.text}") for one in found)]
            + ([f"named nowhere: {unnamed}"] if unnamed else [])
        ),
    )


@app.command()
def serve(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="flagd files; later ones win.")],
    ofrep_port: Annotated[int, typer.Option(min=0, max=65535, help="Port of OFREP (HTTP); 0 for any.")] = 8016,
    sync_port: Annotated[int, typer.Option(min=0, max=65535, help="Port of flagd sync (gRPC); 0 for any.")] = 8015,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    context: Annotated[str, typer.Option(metavar="JSON", help="Merged into every evaluation, and wins.")] = "{}",
    cors_origin: Annotated[
        str, typer.Option(help="Origins of web pages that may evaluate, comma-separated; * for every page.")
    ] = "",
    lenient: Annotated[bool, typer.Option("--lenient", help="Serve what only fails the evaluation it is in.")] = False,
    bucketing: Annotated[
        str, typer.Option(help="v3 hashes percentages like Python providers >= 0.6, v2 like Node, Java, Go and flagd.")
    ] = "v3",
) -> None:
    """Serve flagd files over OFREP and flagd sync, and follow their changes; needs no Kafka and no Redis."""
    standalone = load("flag_control.standalone.server")
    options = standalone.Options(
        paths=files,
        host=host,
        ofrep_port=ofrep_port,
        sync_port=sync_port,
        context=_object(context, "--context"),
        lenient=lenient,
        origins=cors_origin,
        bucketing=standalone.bucketing_of(bucketing),
    )
    standalone.serve(options, lambda text: typer.echo(text, err=True))


def _object(text: str, option: str) -> dict[str, Any]:
    try:
        found = json_.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidError(option, [Problem("", f"is not JSON: {error}")]) from None
    if not isinstance(found, dict):
        raise InvalidError(option, [Problem("", "must be a JSON object")])
    what = f"is nested deeper than {MOST_LEVELS} levels" if too_deep(found) else unwritable(found)
    if what is not None:
        raise InvalidError(option, [Problem("", what)])
    if not isinstance(found.get("targetingKey", ""), str):
        raise InvalidError(option, [Problem("targetingKey", "must be a string")])
    return found


def _row(flag: dict[str, Any]) -> tuple[str, ...]:
    stale = flag["stale"]
    last = flag["evaluations"]["last"]
    return (
        flag["target"],
        _percent(flag["exposure"]),
        str(flag["version"]),
        _state(flag),
        flag["lifecycle"]["owner"],
        f"{stale['rule']} since {stale['since'][:10]}" if stale else "",
        datetime.fromtimestamp(last, UTC).isoformat(timespec="seconds") if last else "not since this instance started",
    )


def _percent(share: float) -> str:
    """Return `10 %` of 0.1, with as many digits as it has: 0.001 % is the smallest step."""
    return f"{round(share * 100, 3):g} %"


def _state(flag: dict[str, Any]) -> str:
    if flag["killed"]:
        return "killed"
    if flag["archived"]:
        return f"archived at {flag['archived']}"
    return "rolling out" if flag["live"] else "at rest"


def _page(flag: dict[str, Any]) -> str:
    streams = flag["streams"]
    lines = [
        f"{flag['target']}  version {flag['version']}  exposure {_percent(flag['exposure'])}  {_state(flag)}",
        f"{streams['served']} of {streams['connected']} streams were sent it; OFREP {flag['evaluations']['ofrep']} "
        f"evaluations; in process {flag['evaluations']['in_process']}",
        *(f"killed by {kill['actor']}: {kill['reason']} (undo with --kill {kill['id']})" for kill in flag["kills"]),
        *(f"opted out: {name} in {', '.join(values)}" for name, values in flag["opted_out"].items()),
        f"definition {dumps(flag['definition'])}",
        *(
            f"version {one['version']}  {one['at']}  {one['why']}  {one.get('actor', '')}".rstrip()
            for one in flag["history"]
        ),
    ]
    return "\n".join(plain(line) for line in lines)
