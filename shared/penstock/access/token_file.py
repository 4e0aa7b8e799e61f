"""Changes to a tokens file: create, rotate and revoke; a token is shown once, and only its SHA-256 is kept."""

import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from penstock.errors import InvalidError, NotFoundError, Problem
from penstock.tokens import Identity, Tokens, digest_of, read_tokens

PREFIX = "penstock_"
_BYTES = 32
_OWN = 0o600


def new_token() -> str:
    """Return a token of 256 random bits: nobody guesses it, so a plain hash of it may be kept."""
    return PREFIX + secrets.token_urlsafe(_BYTES)


def created(
    held: Tokens, token: str, name: str, identity: str, roles: Sequence[str], targets: Sequence[str], now: datetime,
    expires: datetime | None,
) -> Tokens:  # fmt: skip
    """Return the tokens with one more.

    Args:
        name: its id, which no other has.

    Raises:
        InvalidError: the id is taken.
    """
    if any(known.id == name for known in held.tokens):
        raise InvalidError("token", [Problem("id", f"another token is called {name!r}")])
    fresh = Identity(
        sha256=digest_of(token), identity=identity, roles=tuple(roles), targets=tuple(targets), id=name,
        created=now, expires=expires,
    )  # fmt: skip
    return Tokens(tokens=(*held.tokens, fresh))


def rotated(held: Tokens, name: str, token: str, now: datetime, keep: timedelta, life: timedelta | None) -> Tokens:
    """Return the tokens with a successor of one; the former stays valid for `keep`, so that nobody is locked out.

    Raises:
        NotFoundError: no token of that id.
    """
    former = _named(held, name)
    until = now + keep if former.expires is None else min(former.expires, now + keep)
    ended = former.model_copy(update={"id": _free(held, f"{name}-old"), "expires": until})
    fresh = former.model_copy(
        update={"sha256": digest_of(token), "created": now, "expires": now + life if life is not None else None}
    )
    return Tokens(tokens=(*(ended if known is former else known for known in held.tokens), fresh))


def revoked(held: Tokens, name: str) -> Tokens:
    """Return the tokens without one.

    Raises:
        NotFoundError: no token of that id.
    """
    gone = _named(held, name)
    return Tokens(tokens=tuple(known for known in held.tokens if known is not gone))


def name_of(known: Identity) -> str:
    """Return the id of a token, for one without the first digits of its SHA-256."""
    return known.id or known.sha256[:12]


def change(path: Path, edit: Callable[[Tokens], Tokens]) -> Tokens:
    """Replace the file by what `edit` makes of it, whole or not at all; comments in it are lost.

    Raises:
        InvalidError: the file does not load.
    """
    with _locked(path):
        after = edit(read_tokens(path) if path.exists() else Tokens())
        rows: list[dict[str, Any]] = [
            known.model_dump(mode="json", exclude_none=True, exclude_defaults=True) for known in after.tokens
        ]
        fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        mode = path.stat().st_mode & 0o777 if path.exists() else _OWN
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWN), "w") as file:
            file.write(yaml.safe_dump({"tokens": rows}, sort_keys=False))
        fresh.chmod(mode)
        fresh.replace(path)
    return after


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    # Not at the top: the module is read on systems without it, too.
    import fcntl

    with path.with_name(f".{path.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _named(held: Tokens, name: str) -> Identity:
    found = [known for known in held.tokens if name_of(known) == name]
    if not found:
        listed = ", ".join(map(name_of, held.tokens)) or "none"
        raise NotFoundError(f"no token has the id {name!r}; there are: {listed}")
    return found[0]


def _free(held: Tokens, name: str) -> str:
    taken = {known.id for known in held.tokens}
    number = 1
    while (tried := name[:36] if number == 1 else f"{name[:36]}-{number}") in taken:
        number += 1
    return tried
