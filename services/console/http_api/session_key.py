"""The key that signs sessions, kept on disk: they outlive the process and hold at every console that shares it."""

import os
import secrets
from pathlib import Path

from penstock.errors import Problem, SettingsError

_BYTES = 32
_OWN = 0o600


def session_key(given: Path | None, folder: Path) -> bytes:
    """Return the key of the file that the settings name, else of this console's own, which is made at its first start.

    Raises:
        SettingsError: the file cannot be read or written, or is too short to be a key.
    """
    path = given or folder / "console" / "session.key"
    try:
        if given is None:
            _make(path)
        key = path.read_bytes().strip()
    except OSError as error:
        raise SettingsError("settings", [Problem("PENSTOCK_SESSION_KEY_FILE", f"{path}: {error.strerror}")]) from None
    if len(key) < _BYTES:
        raise SettingsError("settings", [Problem("PENSTOCK_SESSION_KEY_FILE", f"{path} holds under {_BYTES} bytes")])
    return key


def _make(path: Path) -> None:
    """Make the file whole or not at all: of two consoles that start at once, both use the one that was first."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWN), "w") as file:
        file.write(secrets.token_hex(_BYTES))
    try:
        path.hardlink_to(fresh)
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
