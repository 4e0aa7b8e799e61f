"""Which server the command line talks to, and as whom: PENSTOCK_* first, then the local stack's own note."""

import os
from collections.abc import Mapping
from typing import Any

import msgspec

from penstock.client import Client
from penstock.errors import CorruptError
from penstock.local.state import NOTE, state_folder
from penstock.settings import Settings, load_settings


def settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings; what the environment leaves open, a local stack's `local.json` in the state folder fills.

    Raises:
        SettingsError: variables that do not fit.
    """
    given = load_settings(environment)
    noted = _note(given)
    places = {"server": "server", "token": "token", "kafka": "kafka", "redis": "redis", "ofrep": "flags_server"}
    wanted = {name: noted[place] for place, name in places.items() if isinstance(noted.get(place), str)}
    return given.model_copy(update={name: text for name, text in wanted.items() if name not in given.model_fields_set})


def _note(given: Settings) -> dict[str, Any]:
    path = state_folder(given) / NOTE
    try:
        noted = msgspec.json.decode(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (msgspec.DecodeError, RecursionError, OSError) as error:
        raise CorruptError(f"{path} cannot be read ({error}); remove it, or start `penstock up` again") from None
    return noted if isinstance(noted, dict) else {}


def connect() -> Client:
    """Return a client of the console that the settings name."""
    known = settings()
    return Client(known.server, known.token)
