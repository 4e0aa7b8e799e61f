"""Seals on records: with access to the brokers alone, nobody writes a record that services take for one of theirs."""

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated

import yaml
from aiokafka import ConsumerRecord
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from penstock.errors import Problem, SettingsError
from penstock.settings import Settings
from penstock.wording.problems import problems_of

HEADER = "penstock-seal"
FRESH_MS = 10 * 60 * 1000
"""How far the writer's clock and the broker's may be apart; an older copy of a sealed input is not taken again."""
_SHORTEST = 32
_LOG_APPEND_TIME = 1


def _decoded(text: str) -> str:
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) < _SHORTEST:
        raise ValueError(f"is not the base64 of at least {_SHORTEST} bytes")
    return text


class _Key(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[a-z0-9-]{1,20}$")
    key: Annotated[str, AfterValidator(_decoded)] = Field(repr=False)


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    since: AwareDatetime | None = None
    keys: tuple[_Key, ...] = Field(min_length=1)


class Seals:
    """Seals what is written and checks what is read; without keys it does neither.

    Args:
        keys: by id; the first seals, all are accepted, so that keys rotate without a gap.
        since_ms: broker's time before which records without a seal count, for clusters that are older than the keys.
    """

    def __init__(self, keys: dict[str, bytes], since_ms: int = 0) -> None:
        self._keys, self._since_ms = keys, since_ms

    def seal(
        self, topic: str, partition: int | None, key: bytes | None, value: bytes, headers: Sequence[tuple[str, bytes]]
    ) -> list[tuple[str, bytes]]:
        """Return the headers with the seal; `topic` as Kafka names it."""
        if not self._keys or partition is None:
            return list(headers)
        name, secret = next(iter(self._keys.items()))
        stamp = str(time.time_ns() // 1_000_000)
        mac = _mac(secret, topic, partition, stamp, key, value, headers)
        return [*headers, (HEADER, f"{name}:{stamp}:{mac}".encode())]

    def problem(self, record: ConsumerRecord, chained: bool = False) -> str | None:
        """Return why the record does not count, None where it does.

        Args:
            chained: it belongs to a log, whose chain keeps a copy of an older record from counting.
        """
        if not self._keys:
            return None
        seals = [value or b"" for name, value in record.headers if name == HEADER]
        if not seals:
            if record.timestamp_type == _LOG_APPEND_TIME and record.timestamp < self._since_ms:
                return None
            return "it carries no seal: another program wrote it"
        name, _, rest = seals[0].decode("ascii", "replace").partition(":")
        stamp, _, given = rest.partition(":")
        secret = self._keys.get(name)
        if len(seals) > 1 or secret is None or not stamp.isdigit():
            return "its seal is of no key that this service has"
        headers = [(name, value) for name, value in record.headers if name != HEADER]
        expected = _mac(secret, record.topic, record.partition, stamp, record.key, record.value or b"", headers)
        if not hmac.compare_digest(expected.encode(), given.encode("ascii", "replace")):
            return "its seal does not fit: it was changed, or copied from another place"
        if not chained and record.timestamp > 0 and abs(record.timestamp - int(stamp)) > FRESH_MS:
            return "it was sealed long before or after it was written: a copy, or clocks that are minutes apart"
        return None


NO_SEALS = Seals({})


def seals_of(settings: Settings) -> Seals:
    """Return the seals of the keys file that the settings name.

    Raises:
        SettingsError: the file does not load; keys are never repeated.
    """
    return _loaded(settings.record_keys_file) if settings.record_keys_file is not None else NO_SEALS


@lru_cache(maxsize=8)
def _loaded(path: Path) -> Seals:
    try:
        file = _File.model_validate(yaml.safe_load(path.read_text()))
    except OSError as error:
        problems = [Problem("PENSTOCK_RECORD_KEYS_FILE", f"{path}: {error.strerror}")]
        raise SettingsError("settings", problems) from None
    except (yaml.YAMLError, UnicodeDecodeError):
        problems = [Problem("PENSTOCK_RECORD_KEYS_FILE", f"{path} is not YAML")]
        raise SettingsError("settings", problems) from None
    except ValidationError as error:
        raise SettingsError(f"record keys {path}", problems_of(error)) from None
    since = int(file.since.timestamp() * 1000) if file.since is not None else 0
    return Seals({key.id: base64.b64decode(key.key) for key in file.keys}, since)


def _mac(
    secret: bytes,
    topic: str,
    partition: int,
    stamp: str,
    key: bytes | None,
    value: bytes,
    headers: Sequence[tuple[str, bytes | None]],
) -> str:
    found = hmac.new(secret, digestmod=hashlib.sha256)
    # Each part with its length: no two records are the same bytes.
    parts = [topic.encode(), str(partition).encode(), stamp.encode(), key if key is not None else b"\x00none", value]
    parts += [part for name, text in headers for part in (name.encode(), text or b"")]
    for part in parts:
        found.update(len(part).to_bytes(8, "big"))
        found.update(part)
    return found.hexdigest()
