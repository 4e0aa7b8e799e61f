"""The verbs that change a flag: kill and undo first, they are typed under stress."""

from pathlib import Path
from typing import Annotated, Any

import typer

from penstock.cli.flags.client import connect
from penstock.cli.flags.files import definitions_of
from penstock.cli.output import Json, Output, plain
from penstock.errors import InvalidError, Problem, RefusedError

Target = Annotated[str, typer.Argument(metavar="TARGET", help="environment/service/flag")]
Reason = Annotated[str, typer.Option("--reason", "-m", help="Why; it is kept in the record.")]


def kill(target: Target, reason: Reason, json: Json = False) -> None:
    """Switch a flag off for everyone, now; it stays off until this kill is undone by its id."""
    with connect() as client:
        answer = client.act(target, "kill", reason=reason)
    Output(json).result(answer, lambda: _killed(answer))


def undo(
    target: Target,
    reason: Reason,
    kill: Annotated[str | None, typer.Option("--kill", help="Lift the kill of this id.")] = None,
    to: Annotated[int | None, typer.Option("--to", min=1, help="Go back to this version (not its exposure).")] = None,
    json: Json = False,
) -> None:
    """Lift a kill by its id, or go back to an earlier version; exposure stays what the rollout and its fate make it."""
    asked = {name: value for name, value in (("kill", kill), ("version", to)) if value is not None}
    _act(target, "undo", json, reason=reason, **asked)


def opt_out(
    target: Target,
    values: Annotated[list[str], typer.Argument(metavar="VALUE...", help="Targeting keys, or attribute values.")],
    reason: Reason,
    attribute: Annotated[str, typer.Option(help="Attribute of the evaluation context.")] = "targetingKey",
    remove: Annotated[bool, typer.Option("--remove", help="Take them off the list again.")] = False,
    json: Json = False,
) -> None:
    """Never expose these users, whatever the rollout."""
    _act(target, "opt-out", json, reason=reason, attribute=attribute, values=values, remove=remove)


def archive(
    target: Target,
    variant: Annotated[str, typer.Argument(help="The variant that is served for good.")],
    reason: Reason,
    json: Json = False,
) -> None:
    """End a flag's life: the variant stays served, the key is never used again."""
    _act(target, "archive", json, reason=reason, variant=variant)


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="flagd JSON.")],
    to: Annotated[str, typer.Option("--set", metavar="ENVIRONMENT/SERVICE", help="The set to put them in.")],
    reason: Reason,
    lenient: Annotated[
        bool, typer.Option("--lenient", help="Take a foreign set: rules that only fail their own evaluation pass.")
    ] = False,
    json: Json = False,
) -> None:
    """Take over the flags of a flagd file; each is checked before any client sees it."""
    found = definitions_of(file, lenient)
    answers, problems = {}, []
    with connect() as client:
        for key, definition in found.items():
            try:
                answers[key] = client.act(f"{to}/{key}", "definition", reason=reason, definition=definition)
            except (InvalidError, RefusedError) as error:
                problems += [Problem(f"flags.{key}", str(one)) for one in getattr(error, "problems", None) or [error]]
    if problems:
        raise InvalidError(
            f"{file} ({len(answers)} of {len(found)} flags imported; the others stay as they were)", problems
        )
    imported = {"imported": list(found), "answers": list(answers.values())}
    Output(json).result(imported, lambda: f"{len(found)} flags imported to {to}")


def export(
    name: Annotated[str, typer.Argument(metavar="[ENVIRONMENT/SERVICE]", help="Set; all of them without one.")] = "",
) -> None:
    """Print a set as flagd JSON: what clients are served now."""
    with connect() as client:
        answer = client.export(name)
    Output(json=True).result(answer, lambda: answer)


def _act(target: str, verb: str, json: bool, **fields: Any) -> None:
    with connect() as client:
        answer = client.act(target, verb, **fields)
    Output(json).result(answer, lambda: _done(target, answer))


def _done(target: str, answer: dict[str, Any]) -> str:
    facts = answer.get("events")
    if facts is None:
        return f"asked; not recorded yet. See `penstock flags show {plain(target)}`"
    return "\n".join(plain(f"{fact['type']}: {target} at version {fact['version']}") for fact in facts)


def _killed(answer: dict[str, Any]) -> str:
    where, streams = answer["instances"], answer["streams"]
    lines = [
        f"killed {answer['target']} on {where['killed']} of {where['of']} instances; "
        f"{streams['served']} of {streams['connected']} streams safe, OFREP at once",
        "recorded" if answer["recorded"] else "not recorded yet: the record follows when the log is back",
        f"undo: penstock flags undo {answer['target']} --kill {answer['kill']} --reason ...",
    ]
    if not answer["in_force"]:
        return plain(f"kill {answer['kill']} was lifted since; ask for a new one")
    if not answer.get("on_disk", True):
        lines[1:1] = ["NOT on disk: a restart before it is recorded would forget it; see the log of flag control"]
    lines[1:1] = [f"NOT reached: {url}" for url in where["unreached"]]
    return "\n".join(map(plain, lines))
