"""`penstock topics`: the topics of the contract, and what Kafka must allow each service."""

from dataclasses import asdict
from typing import Annotated

import typer

from penstock.acls import ROLES, acls, principal_of
from penstock.cli.client import settings
from penstock.cli.output import Json, Output, table
from penstock.topics import ALL

app = typer.Typer(no_args_is_help=True, help="Topics, and what Kafka must allow each service.")


@app.command("list")
def list_(json: Json = False) -> None:
    """List the topics: kind, who writes them, who reads them."""
    rows = [[topic.name, topic.kind.value, topic.producer, ", ".join(topic.consumers)] for topic in ALL]
    Output(json).rows("topics", [asdict(topic) for topic in ALL], lambda: table(["TOPIC", "KIND", "FROM", "TO"], rows))


@app.command("acls")
def acls_(
    principals: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROLE=PRINCIPAL", help="Kafka principal of a role; repeat it. Only the named roles are listed."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Print the `kafka-acls.sh` lines for the least that each service needs, and CI and the Collector.

    Without --principals, every role has the principal `User:penstock-ROLE`.
    """
    here = settings()
    rules = acls(_principals(principals or []), here.topic_prefix)
    listed = [asdict(rule) for rule in rules]
    Output(json).rows("acls", listed, lambda: "\n".join(rule.command(here.kafka) for rule in rules))


def _principals(given: list[str]) -> dict[str, str]:
    if not given:
        return {role: principal_of(role) for role in ROLES}
    named = {role: principal for role, _, principal in (one.partition("=") for one in given)}
    unknown = [role for role, principal in named.items() if role not in ROLES or not principal]
    if unknown:
        raise typer.BadParameter(f"{', '.join(unknown)}: give ROLE=PRINCIPAL, with a role of {', '.join(ROLES)}")
    return named
