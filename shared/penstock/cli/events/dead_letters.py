"""`penstock dead-letters`: the inputs that could not be taken, why, and what stood in them."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from penstock.cli.client import connect
from penstock.cli.output import Json, Jsonl, Output, dumps, table
from penstock.errors import NotFoundError

app = typer.Typer(no_args_is_help=True, help="Inputs that could not be taken, and why.")


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 100,
    json: Json = False,
    jsonl: Jsonl = False,
) -> None:
    """List dead letters, newest last."""
    with connect() as client:
        letters = client.get("/api/dead-letters", limit=limit)["dead_letters"]
    rows = [[_position(letter), str(letter.get("service", "-")), str(letter.get("reason", "-"))] for letter in letters]
    out = Output(json, jsonl)
    out.rows(
        "dead_letters", letters, lambda: table(["ORIGIN", "SERVICE", "REASON"], rows) if rows else "no dead letters"
    )


@app.command()
def show(
    position: Annotated[str, typer.Argument(metavar="ORIGIN", help="topic/partition@offset, as `list` shows it.")],
    json: Json = False,
) -> None:
    """Show one dead letter whole."""
    with connect() as client:
        letters = client.get("/api/dead-letters", limit=10_000)["dead_letters"]
    found = [letter for letter in letters if _position(letter) == position]
    if not found:
        raise NotFoundError(f"no dead letter from {position}. `penstock dead-letters list` shows them.")
    Output(json).result(found[-1], lambda: dumps(found[-1], indent=2))


def _position(letter: Mapping[str, Any]) -> str:
    return f"{letter.get('topic')}/{letter.get('partition')}@{letter.get('offset')}"
