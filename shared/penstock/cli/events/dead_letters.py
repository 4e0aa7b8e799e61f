"""`penstock dead-letters`: which inputs were refused, why, and how to have them processed after all."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from penstock.cli.client import connect
from penstock.cli.exits import Exits
from penstock.cli.output import Json, Jsonl, Output, dumps, table
from penstock.errors import InvalidError, NotFoundError, Problem

_MOST_AT_ONCE = 50
_MOST = 10_000

app = typer.Typer(no_args_is_help=True, help="Inputs that could not be processed, and why.")

OfTopic = Annotated[str | None, typer.Option("--topic", help="Only inputs of this topic, without prefix.")]
OfService = Annotated[str | None, typer.Option("--service", help="Only inputs that this service refused.")]
Since = Annotated[str | None, typer.Option("--since", help="Only letters since: 10m, 2h, 3d, or an RFC 3339 time.")]


@app.command("list")
def list_(
    topic: OfTopic = None,
    service: OfService = None,
    since: Since = None,
    limit: Annotated[int, typer.Option(min=1, max=_MOST)] = 100,
    json: Json = False,
    jsonl: Jsonl = False,
) -> None:
    """List refused inputs, each once, newest first."""
    with connect() as client:
        query = {"topic": topic, "service": service, "since": since, "limit": limit}
        letters = client.get("/api/dead-letters", **query)["dead_letters"]
    out = Output(json, jsonl)
    headings = ["TIME", "REASON", "SERVICE", "ORIGIN", "KEY", "REDRIVEN"]
    out.rows("dead_letters", letters, lambda: table(headings, map(_row, letters)) if letters else "no dead letters")


@app.command()
def show(
    place: Annotated[str, typer.Argument(metavar="ORIGIN", help="topic/partition@offset, as `list` shows it.")],
    json: Json = False,
) -> None:
    """Show one refused input whole: every problem, its headers and its payload.

    Of a record that was refused by several services, or for several reasons, each letter is shown.
    """
    with connect() as client:
        found = [letter for letter in _all(client) if _is_at(letter, place)]
    if not found:
        raise NotFoundError(f"no dead letter from {place}. `penstock dead-letters list` shows them.")
    Output(json).result(found[0] if len(found) == 1 else found, lambda: "\n\n".join(map(_whole, found)))


@app.command()
def redrive(
    reason: Annotated[str, typer.Option("--reason", "-m", help="Why; it is kept in the record.")],
    places: Annotated[
        list[str] | None, typer.Argument(metavar="[ORIGIN]...", help="topic/partition@offset, as `list` shows it.")
    ] = None,
    topic: OfTopic = None,
    service: OfService = None,
    since: Since = None,
    json: Json = False,
) -> None:
    """Publish refused inputs to their topics again, after what they were refused for is mended.

    Name the inputs, or select them by --topic, --service and --since: those that were redriven before are left out.
    Takes the role operator. Inputs of deploy-intake, otlp_metrics and deploys can be redriven.
    Ends with 2 if one of them was refused.
    """
    if not places and topic is None and service is None and since is None:
        raise InvalidError("redrive", [Problem("", "name letters, or select them by --topic, --service or --since")])
    with connect() as client:
        chosen = list(places or [])
        if not chosen:
            query = {"topic": topic, "service": service, "since": since}
            # Oldest first, as they were sent.
            letters = reversed(_all(client, **query))
            chosen = list(dict.fromkeys(letter["place"] for letter in letters if not letter["redriven"]))
        results: list[dict[str, Any]] = []
        for start in range(0, len(chosen), _MOST_AT_ONCE):
            body = {"ids": chosen[start : start + _MOST_AT_ONCE], "reason": reason}
            results += client.post("/api/dead-letters/redrive", body)["results"]
    rows = [[result["outcome"], result["id"], result["detail"]] for result in results]
    drawn = table(["OUTCOME", "ORIGIN", "DETAIL"], rows) if rows else "no dead letter to redrive"
    Output(json).rows("results", results, lambda: drawn)
    if any(result["outcome"] != "redriven" for result in results):
        raise typer.Exit(Exits.USAGE)


def _all(client: Any, **query: object) -> list[dict[str, Any]]:
    return list(client.get("/api/dead-letters", limit=_MOST, **query)["dead_letters"])


def _is_at(letter: Mapping[str, Any], place: str) -> bool:
    # Former versions showed the topic with its prefix.
    return bool(place == letter["place"] or place.endswith(letter["place"]))


def _row(letter: Mapping[str, Any]) -> list[str]:
    redriven = letter["redriven"]
    time = str(letter["last_received"] or "-")[:19].replace("T", " ")
    return [
        time,
        str(letter["problem"]),
        str(letter["service"]),
        str(letter["place"]),
        str(letter["key"] or "-"),
        f"by {redriven['by']}" if redriven else "-",
    ]


def _whole(letter: Mapping[str, Any]) -> str:
    redriven = letter["redriven"]
    times = f", {letter['times']} times, last {letter['last_received']}" if letter["times"] > 1 else ""
    lines = [
        f"reason    {letter['reason']}",
        f"received  {letter['received']}{times}",
        f"service   {letter['service']}",
        f"origin    {letter['place']}",
        *(["redriven  by {by} at {at}: {reason}; now at {to}".format(**redriven)] if redriven else []),
        f"headers   {dumps(letter['headers'])}",
        f"payload   {letter['bytes']} bytes{', in base64' if 'base64' in letter else ''}",
        str(letter.get("base64") or letter["value"]),
    ]
    return "\n".join(lines)
