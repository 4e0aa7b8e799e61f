"""The verbs that steer a rollout. Each sends the stage and sequence that were looked at: if it moved, it refuses."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from penstock.cli.client import connect
from penstock.cli.exits import Exits
from penstock.cli.output import Json, Output, complain, plain
from penstock.cli.rollouts import views
from penstock.client import CommandRefusedError
from penstock.rollout import Phase

Id = Annotated[str, typer.Argument(metavar="ID", help="Id of the rollout.")]
Reason = Annotated[str, typer.Option("--reason", "-m", help="Why; it is kept in the record.")]
Stage = Annotated[
    str | None, typer.Option("--stage", help="Stage that you looked at; by default the one it is in now.")
]
Sequence = Annotated[
    int | None, typer.Option("--sequence", min=0, help="Sequence number that you looked at; by default the present.")
]

_BY_REFUSAL = {
    "not_approver": Exits.AUTH,
    "author_may_not_approve": Exits.AUTH,
    "no_rollout": Exits.NOT_FOUND,
}


def promote(
    rollout: Id,
    reason: Reason,
    override: Annotated[
        bool, typer.Option("--override", help="Go past gates that have not passed; it is recorded as such.")
    ] = False,
    stage: Stage = None,
    sequence: Sequence = None,
    json: Json = False,
) -> None:
    """Go on to the next stage now."""
    _act(rollout, "promote", reason, stage, sequence, json, override)


def hold(
    rollout: Id,
    reason: Reason,
    stage: Stage = None,
    sequence: Sequence = None,
    json: Json = False,
) -> None:
    """Stay at the present exposure; guards go on watching."""
    _act(rollout, "hold", reason, stage, sequence, json)


def resume(
    rollout: Id,
    reason: Reason,
    stage: Stage = None,
    sequence: Sequence = None,
    json: Json = False,
) -> None:
    """Go on with a held stage."""
    _act(rollout, "resume", reason, stage, sequence, json)


def rollback(
    rollout: Id,
    reason: Reason,
    stage: Stage = None,
    sequence: Sequence = None,
    json: Json = False,
) -> None:
    """Roll the release back: exposure goes to zero at once, the version is quarantined."""
    _act(rollout, "rollback", reason, stage, sequence, json)


def approve(
    rollout: Id,
    reason: Reason = "approved",
    stage: Stage = None,
    sequence: Sequence = None,
    json: Json = False,
) -> None:
    """Agree to the stage that waits for an approval."""
    _act(rollout, "approve", reason, stage, sequence, json)


def expectation(view: Mapping[str, Any], verb: str, stage: str | None, sequence: int | None) -> dict[str, Any]:
    """Return what the asker looked at: what was given, or else what the view shows.

    A rollback by itself expects nothing: safety must not lose a race against a stage that has just moved.
    """
    if verb == "rollback" and stage is None and sequence is None:
        return {}
    if stage is None and sequence is None:
        stage, sequence = _place(view), view["sequence"]
    return {name: value for name, value in (("stage", stage), ("sequence", sequence)) if value is not None}


def _place(view: Mapping[str, Any]) -> str | None:
    # While an approval is awaited the stage that counts is the next one, and not every view names it.
    awaited = view.get("awaited")
    return awaited or (view.get("stage") if view["phase"] in {Phase.BAKING, Phase.SOAKING} else None)


def _act(
    rollout: str, verb: str, reason: str, stage: str | None, sequence: int | None, json: bool, override: bool = False
) -> None:
    out = Output(json)
    with connect() as client, refused_exit(out):
        expected = expectation(client.rollout(rollout), verb, stage, sequence)
        answer = client.act(rollout, verb, reason, expected, override)
    answered(answer, out, f"penstock rollouts show {rollout}")


def answered(answer: Mapping[str, Any], out: Output, look: str) -> None:
    """Print the event that a command caused, and the state of its rollout."""
    if "event" not in answer:
        out.result(answer, lambda: f"accepted, not yet recorded; look again: {look}")
        return
    event = answer["event"]
    view = f"\n{views.line(answer['rollout'], views.changed_at(answer['rollout']))}" if answer.get("rollout") else ""
    out.result(answer, lambda: plain(f"{event['type']}  {event['id']}") + view)


@contextmanager
def refused_exit(out: Output) -> Iterator[None]:
    """Turn a refusal into its words, the state that it met, and its exit code."""
    try:
        yield
    except CommandRefusedError as error:
        if out.machine:
            out.result({"error": "refused", "refusal": error.refusal, "rollout": error.rollout}, lambda: "")
        complain(error)
        if error.rollout:
            out.progress(f"it is now: {views.line(error.rollout, views.changed_at(error.rollout))}")
        raise typer.Exit(_BY_REFUSAL.get(str(error.refusal.get("reason")), Exits.USAGE)) from None
