"""The state folder of the local stack: where it is, who holds it, what the stack notes there for the command line."""

import base64
import hashlib
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

import msgspec
import yaml

from penstock.errors import UnavailableError
from penstock.settings import Settings

NOTE = "local.json"
_OWN = 0o600


class Note(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where the parts of a running stack are."""

    server: str
    kafka: str
    redis: str
    otlp: str
    ofrep: str
    sync: str
    token: str | None = None


def tree_root() -> Path | None:
    """Return the checkout that this code runs from, None for an installed wheel."""
    root = Path(__file__).resolve().parents[3]
    return root if (root / "services").is_dir() and (root / "pyproject.toml").is_file() else None


def state_folder(settings: Settings, environment: Mapping[str, str] = os.environ) -> Path:
    """Return the state folder: PENSTOCK_STATE, else `.penstock` of the checkout, else `~/.local/state/penstock`."""
    if "state" in settings.model_fields_set:
        return settings.state.expanduser().absolute()
    if root := tree_root():
        return root / ".penstock"
    base = environment.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "penstock"


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the folder: one stack a folder.

    Raises:
        UnavailableError: another stack runs on it, or it cannot be written.
    """
    # Not at the top: the command line reads the note on systems without it, too.
    import fcntl

    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (folder / "lock").open("a+")
    except OSError as error:
        raise UnavailableError(
            f"the state folder {folder} cannot be written ({error.strerror}); set PENSTOCK_STATE to one that can"
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            raise UnavailableError(
                f"a local stack already runs on {folder} (process {lock.read().strip() or 'unknown'}): use it, stop "
                "it, or set PENSTOCK_STATE to another folder (and other ports) for a second one"
            ) from None
        with suppress(OSError):  # The lock holds without, as on a full disk.
            os.truncate(lock.fileno(), 0)
            os.write(lock.fileno(), str(os.getpid()).encode())
        yield


def is_held(folder: Path) -> bool:
    """Return whether a stack runs on the folder; a note alone may be left of one that was killed."""
    import fcntl

    try:
        with (folder / "lock").open("a+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def write_note(folder: Path, note: Note) -> None:
    """Write the note, readable by its owner only: it holds the token."""
    _write_own(folder / NOTE, msgspec.json.format(msgspec.json.encode(note)).decode())


def local_token(folder: Path) -> tuple[str, Path]:
    """Return the token of the local administrator and the tokens file that knows it, making both if need be.

    Tokens that a person added to the file stay.
    """
    secret, tokens = folder / "token", folder / "tokens.yaml"
    if not secret.exists():
        _write_own(secret, f"penstock_{secrets.token_urlsafe(24)}\n")
    token = secret.read_text().strip()
    known = (yaml.safe_load(tokens.read_text()) if tokens.exists() else None) or {"tokens": []}
    digest = hashlib.sha256(token.encode()).hexdigest()
    if not any(one.get("sha256") == digest for one in known["tokens"]):
        known["tokens"].append({"sha256": digest, "identity": "local", "roles": ["admin"]})
        _write_own(tokens, yaml.safe_dump(known, sort_keys=False))
    return token, tokens


def record_keys(folder: Path, now: datetime) -> Path:
    """Return the file of the keys that seal the records of the own Kafka, made once; older records count unsealed."""
    path = folder / "record-keys.yaml"
    if not path.exists():
        key = base64.b64encode(secrets.token_bytes(32)).decode()
        since = now.isoformat(timespec="milliseconds")
        _write_own(path, yaml.safe_dump({"since": since, "keys": [{"id": "k1", "key": key}]}, sort_keys=False))
    return path


def instance_name(folder: Path) -> str:
    """Return the name of the services' copies on this folder: made once, so that it outlives a restart and a new host
    name, and so that two stacks on one Kafka differ.
    """
    path = folder / "instance"
    if not path.exists():
        _write_own(path, f"local-{secrets.token_hex(3)}\n")
    return path.read_text().strip()


def _write_own(path: Path, text: str) -> None:
    # Never readable by others, not even between creation and chmod; never half written.
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWN), "w") as file:
        file.write(text)
    fresh.replace(path)
