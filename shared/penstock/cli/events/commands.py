"""`penstock events`: publish a deploy from CI; list, tail and show what was recorded."""

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from penstock.cli.client import connect
from penstock.cli.events.publish import Deploy, cdevent, cloudevent, default_key, refusal_of
from penstock.cli.events.streaming import Rollout, Since, Types, checked_since, checked_types, messages, row_of
from penstock.cli.exits import Exits
from penstock.cli.output import Json, Jsonl, Output, Quiet, complain, dumps
from penstock.cli.rollouts import views
from penstock.cli.rollouts.waiting import Clock
from penstock.errors import NotFoundError
from penstock.plan import Plan, load_plan
from penstock.targets import Target, parse_target

app = typer.Typer(no_args_is_help=True, help="Publish a deploy; list, tail and show events.")
publish = typer.Typer(no_args_is_help=True, help="Announce something that happened.")
app.add_typer(publish, name="publish")

_ENOUGH = 10_000
"""Events looked through for one id."""


class Risk(StrEnum):
    """How much is at stake."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


@publish.command()
def deploy(
    version: Annotated[str, typer.Option(help="Version that was deployed dark.")],
    service: Annotated[str | None, typer.Option(help="Service; an embedded plan names it.")] = None,
    environment: Annotated[str | None, typer.Option(help="Environment; an embedded plan names it.")] = None,
    flag: Annotated[str | None, typer.Option(help="Flag that exposes it; an embedded plan names it.")] = None,
    plan: Annotated[
        str | None, typer.Option(metavar="NAME|FILE", help="Registered plan, or a file to embed as it is.")
    ] = None,
    release_notes: Annotated[
        str | None, typer.Option(metavar="TEXT|URL|@FILE", help="Release notes, for people and the record.")
    ] = None,
    idempotency_key: Annotated[
        str | None,
        typer.Option(
            help="What makes a retry the same deploy. By default target and version: give the pipeline's run."
        ),
    ] = None,
    artifact: Annotated[str | None, typer.Option(help="Package URL (purl) with digest.")] = None,
    author: Annotated[str | None, typer.Option(help="Who asked for it; may not approve it.")] = None,
    ticket: Annotated[str | None, typer.Option(help="Change ticket.")] = None,
    change: Annotated[list[str] | None, typer.Option(help="Commit or change request; repeat it, newest first.")] = None,
    risk: Annotated[Risk | None, typer.Option(help="As the author sees it.")] = None,
    source: Annotated[str, typer.Option(help="Who announces: URI of the pipeline, without the run.")] = "/penstock/cli",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the event and send nothing.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Announce a release that was deployed dark; Penstock brings it to users. Prints the id of the rollout.

    A deploy that may start no rollout (a quarantined version, a rollback under way) is reported, and exits 2.
    """
    out = Output(json, quiet=quiet)
    text, loaded = _plan(plan)
    target = _target(loaded, environment, service, flag)
    announced = Deploy(
        target=target,
        version=version,
        source=source,
        key=idempotency_key or default_key(target, version),
        plan_name=None if text else plan,
        plan_text=text,
        artifact=artifact,
        notes=_notes(release_notes),
        author=author,
        ticket=ticket,
        changes=tuple(change or ()),
        risk=risk.value if risk else None,
    )
    now = datetime.now(UTC)  # noqa: TID251 - the announcement's own time; its id does not depend on it
    event = cdevent(announced, now)
    if dry_run:
        out.out.print_json(dumps(event))
        return
    if idempotency_key is None:
        out.progress(f"no --idempotency-key: {announced.key} starts one rollout, however often it is announced")
    with connect() as client:
        answer = client.publish(cloudevent(event))
        accepted = answer["accepted"][0]
        out.result(answer, lambda: str(accepted["rollout"]))
        refusal = refusal_of(client, accepted, Clock())
    if refusal is not None:
        complain(refusal)
        raise typer.Exit(Exits.USAGE)
    out.progress(f"accepted for {target}; follow it: penstock rollouts show {accepted['rollout']} --watch")


@app.command("list")
def list_(
    types: Types = None,
    rollout: Rollout = None,
    since: Since = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 100,
    json: Json = False,
    jsonl: Jsonl = False,
) -> None:
    """List recorded events, oldest first."""
    with connect() as client:
        rows = client.events(types=checked_types(types), rollout=rollout, since=checked_since(since), limit=limit)
    out = Output(json, jsonl)
    out.rows("events", rows, lambda: "\n".join(map(views.event_line, rows)) or "no events")


@app.command()
def tail(
    types: Types = None,
    rollout: Rollout = None,
    since: Since = None,
    count: Annotated[int | None, typer.Option("--count", "-n", min=1, help="End after so many.")] = None,
    jsonl: Jsonl = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Print events as they happen, each once, through lost connections."""
    out = Output(json, jsonl or json, quiet)
    with connect() as client:
        for message in messages(client, types, rollout, since, count):
            row = row_of(message)
            if out.machine:
                out.line(row)
            else:
                out.out.print(views.event_line(row), soft_wrap=True)


@app.command()
def show(
    event: Annotated[str, typer.Argument(metavar="ID", help="Id of the event.")],
    rollout: Rollout = None,
    json: Json = False,
) -> None:
    """Show one whole event, with its topic, partition and offset."""
    with connect() as client:
        rows = client.rollout_events(rollout) if rollout else client.events(id=event, limit=_ENOUGH)
    found = [row for row in rows if row["event"]["id"] == event]
    if not found:
        raise NotFoundError(
            f"no event {event} among the latest {len(rows)}; name its rollout (--rollout) to look through all of its"
        )
    out = Output(json)
    out.result(found[0], lambda: dumps(found[0], indent=2))


def _plan(plan: str | None) -> tuple[str | None, Plan | None]:
    """Return text and plan of a file; a bare name is a registered plan."""
    if plan is None or not (Path(plan).is_file() or "/" in plan or plan.endswith((".yaml", ".yml"))):
        return None, None
    try:
        text = Path(plan).read_text()
    except OSError as error:
        raise typer.BadParameter(f"{plan}: {error.strerror}", param_hint="--plan") from None
    return text, load_plan(text, plan, new=True)


def _target(plan: Plan | None, environment: str | None, service: str | None, flag: str | None) -> Target:
    named = plan.target if plan else None
    parts = {
        "--environment": environment or (named.environment if named else None),
        "--service": service or (named.service if named else None),
        "--flag": flag or (named.flag if named else None),
    }
    missing = [option for option, value in parts.items() if not value]
    if missing:
        raise typer.BadParameter(f"give {', '.join(missing)}, or embed a plan that names them: --plan FILE")
    try:
        target = parse_target("/".join(str(value) for value in parts.values()))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if named and named.key != str(target):
        raise typer.BadParameter(f"the plan is for {named.key}, not for {target}", param_hint="--plan")
    return target


def _notes(given: str | None) -> str | None:
    if given is None or not given.startswith("@"):
        return given
    try:
        return Path(given[1:]).read_text()
    except OSError as error:
        raise typer.BadParameter(f"{given[1:]}: {error.strerror}", param_hint="--release-notes") from None
