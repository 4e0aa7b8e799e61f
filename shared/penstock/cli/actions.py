"""The verbs that steer a rollout. Each sends the stage and sequence that were looked at: if it moved, it refuses."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from penstock.client import Client, CommandRefusedError

from . import views
from .client import connect
from .exits import Exits
from .output import Json, Output, plain

Id = Annotated[str, typer.Argument(metavar="ID", help="Id of the rollout.")]
Reason = Annotated[str, typer.Option("--reason", "-m", help="Why; it stands in the record.")]
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
    """Take the release back: exposure goes to zero at once, the version is quarantined."""
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
    """Return what the asker looked at.

    A rollback by itself expects nothing: safety must not lose a race against a stage that has just moved.
    """
    if verb == "rollback" and stage is None and sequence is None:
        return {}
    seen = {"stage": stage or view.get("stage"), "sequence": sequence if sequence is not None else view["sequence"]}
    if sequence is None and stage is not None:
        seen["sequence"] = None
    return {name: value for name, value in seen.items() if value is not None}


def _act(
    rollout: str, verb: str, reason: str, stage: str | None, sequence: int | None, json: bool, override: bool = False
) -> None:
    out = Output(json)
    with connect() as client:
        view = client.rollout(rollout)
        try:
            answer = client.act(rollout, verb, reason, expectation(view, verb, stage, sequence), override)
        except CommandRefusedError as error:
            raise typer.Exit(_refused(error, out)) from None
    _answered(answer, out, client, rollout)


def _answered(answer: Mapping[str, Any], out: Output, client: Client, rollout: str) -> None:
    if "event" not in answer:
        out.result(answer, lambda: f"accepted, not yet recorded; look again: penstock rollouts show {rollout}")
        return
    event = answer["event"]
    said = plain(f"{event['type']}  {event['id']}")
    out.result(answer, lambda: f"{said}\n{views.line(answer['rollout'])}")


def _refused(error: CommandRefusedError, out: Output) -> Exits:
    if out.machine:
        out.result({"error": "refused", "refusal": error.refusal, "rollout": error.rollout}, lambda: "")
    typer.echo(f"error: {error}", err=True)
    if error.rollout:
        typer.echo(f"it stands now: {views.line(error.rollout)}", err=True)
    return _BY_REFUSAL.get(str(error.refusal.get("reason")), Exits.USAGE)
