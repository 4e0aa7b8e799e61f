"""`penstock access`: who may do what, by the tokens file."""

from pathlib import Path
from typing import Annotated

import typer

from penstock.access import normalized
from penstock.access.verbs import MEANING, Verb, may, roles_for
from penstock.cli.access.tokens import tokens_of
from penstock.cli.exits import Exits
from penstock.cli.output import Json, Output, table
from penstock.targets import parse_target

app = typer.Typer(no_args_is_help=True, help="Who may do what.")

File = Annotated[Path | None, typer.Option("--file", help="Tokens file; PENSTOCK_TOKENS or the local stack's without.")]


@app.callback()
def _group() -> None:
    """Roles, verbs and targets."""


@app.command()
def can(
    who: Annotated[str, typer.Argument(help="Identity, as it is recorded.")],
    verb: Annotated[Verb, typer.Argument(help="What it wants to do.")],
    target: Annotated[str, typer.Argument(help="environment/service/flag.")],
    file: File = None,
    json: Json = False,
) -> None:
    """Tell whether an identity may do something to a target: exit code 0 or 4. Plans may name further approvers."""
    try:
        parse_target(target)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="TARGET") from None
    own = [known for known in tokens_of(file).tokens if normalized(known.identity) == normalized(who)]
    allowed = any(may(known, verb, target) for known in own)
    roles = sorted({role for known in own for role in known.on(target).roles})
    found = f"its roles there: {', '.join(roles) or 'none'}" if own else "no token has this identity"
    words = f"{who} {'may' if allowed else 'may not'} {verb} {target}: {found}; it takes {' or '.join(roles_for(verb))}"
    document = {"who": who, "verb": verb, "target": target, "allowed": allowed, "roles": roles}
    Output(json).result(document, lambda: words)
    if not allowed:
        raise typer.Exit(Exits.AUTH)


@app.command("verbs")
def verbs(json: Json = False) -> None:
    """List the verbs, what they allow, and the roles that may use them."""
    rows = [(str(verb), MEANING[verb], ", ".join(roles_for(verb))) for verb in Verb]
    names = ("verb", "what", "roles")
    Output(json).rows("verbs", [dict(zip(names, row, strict=True)) for row in rows], lambda: table(names, rows))
