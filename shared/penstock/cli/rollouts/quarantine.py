"""`penstock quarantine`: a version that was rolled back may start again once a person lifts its quarantine."""

from typing import Annotated

import typer

from penstock.cli.client import connect
from penstock.cli.output import Json, Output
from penstock.cli.rollouts.actions import Reason, answered, refused_exit
from penstock.targets import parse_target

app = typer.Typer(no_args_is_help=True, help="Lift the quarantine of a version.")


@app.callback()
def _group() -> None:
    """Versions that were rolled back."""


@app.command()
def lift(
    target: Annotated[str, typer.Argument(help="environment/service/flag.")],
    version: Annotated[str, typer.Argument(help="The version that may be deployed again.")],
    reason: Reason,
    json: Json = False,
) -> None:
    """Let a version that was rolled back be deployed again; takes a role that the plan names."""
    try:
        parse_target(target)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="TARGET") from None
    out = Output(json)
    with connect() as client, refused_exit(out):
        answer = client.post("/api/quarantine/lift", {"target": target, "version": version, "reason": reason})
    answered(answer, out, "penstock events list --types 'quarantine.*,command.refused'")
