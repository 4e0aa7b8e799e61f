"""`penstock tokens`: create, list, rotate and revoke the tokens of a tokens file; services follow it at once."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from penstock.access.token_file import change, created, name_of, new_token, revoked, rotated
from penstock.cli.client import settings
from penstock.cli.output import Json, Output, table
from penstock.local.state import state_folder
from penstock.tokens import Identity, Role, Tokens, read_tokens

app = typer.Typer(no_args_is_help=True, help="Create, list, rotate and revoke tokens.")

_LIFE = re.compile(r"(\d{1,5})([mhd])")
_UNIT = {"m": "minutes", "h": "hours", "d": "days"}

File = Annotated[Path | None, typer.Option("--file", help="Tokens file; PENSTOCK_TOKENS or the local stack's without.")]
Expires = Annotated[str | None, typer.Option("--expires", help="Life of the token, such as 90d, 12h; endless without.")]
Named = Annotated[str, typer.Argument(metavar="ID", help="Id of the token, see `penstock tokens list`.")]


@app.callback()
def _group() -> None:
    """Bearer tokens."""


@app.command()
def create(
    identity: Annotated[str, typer.Argument(help="Who uses it; recorded as the actor of what it does.")],
    role: Annotated[list[str], typer.Option("--role", help="A role; repeat for several.")],
    target: Annotated[list[str] | None, typer.Option("--target", help="Targets of the roles, such as a/b/*.")] = None,
    name: Annotated[str | None, typer.Option("--id", help="Id of the token; the identity's name without.")] = None,
    expires: Expires = None,
    file: File = None,
    json: Json = False,
) -> None:
    """Create a token; it is printed once, and the file keeps its SHA-256 only."""
    token, now = new_token(), _now()
    life = _life(expires)
    given = name or re.sub(r"[^a-z0-9-]+", "-", identity.lower()).strip("-")[:40] or "token"
    unusual = sorted(set(role) - set(Role))
    change(
        _path(file),
        lambda held: created(held, token, given, identity, role, target or ["*"], now, now + life if life else None),
    )
    out = Output(json)
    if unusual:
        out.progress(f"note: {', '.join(unusual)} count only for approvals of plans that name them")
    out.result({"id": given, "token": token}, lambda: token)
    out.progress(f"token {given} is created and not shown again; it is valid at every service within a second")


@app.command("list")
def list_(file: File = None, json: Json = False) -> None:
    """List the tokens with their identities, roles, targets and lives."""
    held, now = read_tokens(_path(file)), _now()
    rows = [_row(known, now) for known in held.tokens]
    names: tuple[str, ...] = ("id", "identity", "roles", "targets", "created", "expires", "state")
    documents: list[dict[str, str]] = [dict(zip(names, row, strict=True)) for row in rows]
    Output(json).rows("tokens", documents, lambda: table(names, rows))


@app.command()
def rotate(
    name: Named,
    keep: Annotated[str, typer.Option("--keep", help="How long the former one stays valid.")] = "1h",
    expires: Expires = None,
    file: File = None,
    json: Json = False,
) -> None:
    """Replace a token by a new one of the same identity, roles and targets; the former ends after `--keep`."""
    token, now = new_token(), _now()
    change(_path(file), lambda held: rotated(held, name, token, now, _life(keep) or timedelta(), _life(expires)))
    out = Output(json)
    out.result({"id": name, "token": token}, lambda: token)
    out.progress(f"the former token of {name} stays valid for {keep}")


@app.command()
def revoke(name: Named, file: File = None) -> None:
    """End a token and its sessions, within a second."""
    change(_path(file), lambda held: revoked(held, name))
    Output().progress(f"token {name} is revoked")


def tokens_of(file: Path | None) -> Tokens:
    """Return the tokens of the file that the option or the settings name."""
    return read_tokens(_path(file))


def _path(file: Path | None) -> Path:
    known = settings()
    return file or known.tokens or state_folder(known) / "tokens.yaml"


def _row(known: Identity, now: datetime) -> tuple[str, ...]:
    return (
        name_of(known),
        known.identity,
        ", ".join(known.roles),
        ", ".join(known.targets),
        known.created.isoformat(timespec="seconds") if known.created else "-",
        known.expires.isoformat(timespec="seconds") if known.expires else "never",
        "valid" if known.live(now) else "expired",
    )


def _life(text: str | None) -> timedelta | None:
    if text is None:
        return None
    match = _LIFE.fullmatch(text)
    if match is None:
        raise typer.BadParameter(f"{text!r} is no duration: write 30m, 12h or 90d")
    return timedelta(**{_UNIT[match[2]]: int(match[1])})


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - a command reads the clock
