"""`penstock postmortem`: a first draft from the record, or from a saved history."""

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from penstock.cli.client import connect
from penstock.cli.output import Output, Quiet, dumps
from penstock.cli.record.evidence import load
from penstock.client import Client
from penstock.events import from_json
from penstock.postmortem import Postmortem, Said, markdown, postmortem
from penstock.replay import History, fold_history

app = typer.Typer(help="Draft a postmortem from the record.")

_MOST_WINDOWS = 10_000


class Format(StrEnum):
    """Forms of the draft."""

    MD = "md"
    JSON = "json"


@app.command()
def draft(
    rollout: Annotated[str | None, typer.Argument(metavar="[ID]", help="Id of the rollout.")] = None,
    form: Annotated[Format, typer.Option("--format", help="Markdown for people, JSON for machines.")] = Format.MD,
    names: Annotated[bool, typer.Option("--names", help="Identities instead of roles.")] = False,
    source: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="A history saved by `penstock replay --save`.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Draft a postmortem: timeline, detection, impact, times, policy and notifications; the judgement is yours."""
    if source is not None:
        history, saved_for = load(source)
        facts = postmortem(rollout or saved_for, said_in(history))
    elif rollout is not None:
        with connect() as client:
            facts = postmortem(rollout, _from_console(client, rollout))
    else:
        raise typer.BadParameter("name a rollout, or a saved history with --from FILE")
    out = Output(quiet=quiet)
    if not facts.impact.complete:
        out.progress("not all windows of this rollout are at hand: the requests counted are a lower bound")
    typer.echo(dumps(_document(facts, names), indent=2) if form is Format.JSON else markdown(facts, names), nl=False)


def _document(facts: Postmortem, names: bool) -> Any:
    document = msgspec.to_builtins(facts, enc_hook=lambda value: value.model_dump(mode="json", exclude_none=True))
    if not names:
        for moment in (document["trigger"], *document["timeline"]):
            moment.pop("actor", None)
    return document


def _from_console(client: Client, rollout: str) -> Iterator[Said]:
    target = client.rollout(rollout)["target"]
    yield from map(_said, client.rollout_events(rollout))
    yield from map(_said, client.events(types="window.closed", target=target, limit=_MOST_WINDOWS))
    yield from map(_said, client.events(types="delivery.*", rollout=rollout, limit=_MOST_WINDOWS))


def _said(row: dict[str, Any]) -> Said:
    return Said(from_json(row["event"]), f"{row['topic']}/{row['partition']}@{row['offset']}")


def said_in(history: History) -> Iterator[Said]:
    """Yield every event, window and command of a history's accepted records, with its position."""
    for log, steps in fold_history(history).items():
        for step in steps:
            record = step.accepted.record
            if record is None:
                continue
            position = f"{log}/{history.partition}@{step.accepted.offset}"
            taken = [e for entry in record.inputs for e in entry.events if e.get("type") == "window.closed"]
            asked = [e for entry in record.inputs for e in entry.events if entry.source == "commands"]
            yield from (Said(from_json(document), position) for document in (*record.events, *taken, *asked))
