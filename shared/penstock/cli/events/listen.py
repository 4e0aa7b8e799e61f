"""`penstock listen`: stream events to your terminal, or forward them to a URL."""

from typing import Annotated

import httpx
import typer

from penstock.cli.client import connect
from penstock.cli.events.forwarding import Forwarder, signer
from penstock.cli.events.streaming import Rollout, Since, Types, messages, row_of
from penstock.cli.exits import Exits
from penstock.cli.output import Json, Jsonl, Output, Quiet
from penstock.cli.rollouts import views

app = typer.Typer(help="Print events as they happen, or forward them to a URL.")


@app.command()
def listen(
    types: Types = None,
    forward_to: Annotated[
        str | None, typer.Option("--forward-to", metavar="URL", help="POST every event there, until it answers 2xx.")
    ] = None,
    secret: Annotated[
        str | None,
        typer.Option(envvar="WEBHOOK_SECRET", help="Sign as Standard Webhooks do; better by the variable (whsec_...)."),
    ] = None,
    rollout: Rollout = None,
    since: Since = None,
    count: Annotated[int | None, typer.Option("--count", "-n", min=1, help="End after so many.")] = None,
    json: Json = False,
    jsonl: Jsonl = False,
    quiet: Quiet = False,
) -> None:
    """Stream events without duplicates. --forward-to delivers them in order and retries until accepted.

    An event that the receiver does not take in about 50 seconds is reported on stderr, and the exit code is 1.
    """
    out = Output(json, jsonl or json, quiet)
    lost = 0
    with connect() as client, httpx.Client(timeout=10.0) as http:
        forwarder = Forwarder(http, forward_to, out.progress, signer(secret)) if forward_to else None
        out.progress(f"listening to {client.server}{f', forwarding to {forward_to}' if forward_to else ''}")
        for message in messages(client, types, rollout, since, count):
            said = views.event_line(row_of(message))
            if forwarder is not None:
                status = forwarder.send(message)
                lost += status is None
                said = f"{said}  -> {status or 'not taken'}"
            if out.machine:
                out.line(row_of(message))
            else:
                out.out.print(said, soft_wrap=True)
    if lost:
        out.progress(f"{lost} events were not accepted by {forward_to}; get them again with --since")
        raise typer.Exit(Exits.INTERNAL)
