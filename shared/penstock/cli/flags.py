"""`penstock flags`: what is served, kill and undo, and flagd files served on a laptop or in CI."""

import json as json_
from pathlib import Path
from typing import Annotated, Any

import typer

from penstock.errors import InvalidError, Problem

from .local import load

app = typer.Typer(no_args_is_help=True, help="Flags: list, show, kill, undo, serve, import, export.")


@app.command()
def serve(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="flagd files; later ones win.")],
    ofrep_port: Annotated[int, typer.Option(min=0, max=65535, help="Port of OFREP (HTTP); 0 for any.")] = 8016,
    sync_port: Annotated[int, typer.Option(min=0, max=65535, help="Port of flagd sync (gRPC); 0 for any.")] = 8015,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    context: Annotated[str, typer.Option(metavar="JSON", help="Merged into every evaluation, and wins.")] = "{}",
    lenient: Annotated[bool, typer.Option("--lenient", help="Serve what only fails the evaluation it is in.")] = False,
    bucketing: Annotated[
        str, typer.Option(help="v3 hashes percentages like Python providers >= 0.6, v2 like Node, Java, Go and flagd.")
    ] = "v3",
) -> None:
    """Serve flagd files over OFREP and flagd sync, and follow their changes; needs no Kafka and no Redis."""
    standalone = load("flag_control.standalone")
    options = standalone.Options(
        paths=files,
        host=host,
        ofrep_port=ofrep_port,
        sync_port=sync_port,
        context=_object(context, "--context"),
        lenient=lenient,
        bucketing=standalone.bucketing_of(bucketing),
    )
    standalone.serve(options, lambda text: typer.echo(text, err=True))


def _object(text: str, option: str) -> dict[str, Any]:
    try:
        found = json_.loads(text)
    except ValueError as error:
        raise InvalidError(option, [Problem("", f"is not JSON: {error}")]) from None
    if not isinstance(found, dict):
        raise InvalidError(option, [Problem("", "must be a JSON object")])
    return found
