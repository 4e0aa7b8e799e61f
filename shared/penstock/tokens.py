"""The tokens file: maps bearer tokens, by their SHA-256, to an identity, its roles, their targets and an expiry."""

import hashlib
import hmac
import logging
import time
from datetime import UTC, datetime
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Protocol

import yaml
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from penstock.errors import InvalidError, Problem, UnauthorizedError
from penstock.wording.problems import problems_of

_FOLLOW_SECONDS = 1.0

log = logging.getLogger(__name__)


class Role(StrEnum):
    """Roles with a meaning of their own; plans may name further ones for approvals."""

    PUBLISHER = "publisher"
    METRICS = "metrics"
    OPERATOR = "operator"
    RELEASE_MANAGER = "release-manager"
    PLANNER = "planner"
    READER = "reader"
    ADMIN = "admin"


class Identity(BaseModel):
    """Who asks: `identity` is written into events as their actor.

    Attributes:
        roles: what it may do; targets: patterns of `environment/service/flag` that they hold for.
        id: names the token in `penstock tokens` and in the log; created, expires: its life.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", repr=False)
    identity: str = Field(min_length=1, max_length=200)
    roles: tuple[str, ...] = ()
    targets: tuple[str, ...] = ("*",)
    id: str | None = Field(default=None, pattern=r"^[a-z0-9-]{1,40}$")
    created: AwareDatetime | None = None
    expires: AwareDatetime | None = None

    def covers(self, target: str) -> bool:
        """Whether the roles hold for this target."""
        return any(fnmatchcase(target, pattern) for pattern in self.targets)

    def on(self, target: str) -> "Identity":
        """Return the identity with the roles that it has for this target."""
        return self if self.covers(target) else self.model_copy(update={"roles": ()})

    def live(self, now: datetime) -> bool:
        """Whether the token has not expired."""
        return self.expires is None or now < self.expires

    def has(self, *roles: str) -> bool:
        """Return whether this identity has one of the roles; `admin` has all."""
        return Role.ADMIN in self.roles or any(role in self.roles for role in roles)


class KnownTokens(Protocol):
    """The tokens that are known now."""

    @property
    def tokens(self) -> tuple[Identity, ...]:
        """All of them, expired ones included."""
        ...

    def identify(self, authorization: str | None) -> Identity:
        """Return whose bearer token the header carries. Raises UnauthorizedError."""
        ...


class Tokens(BaseModel):
    """The content of a tokens file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tokens: tuple[Identity, ...] = ()

    def identify(self, authorization: str | None) -> Identity:
        """Return whose bearer token the `Authorization` header carries.

        Raises:
            UnauthorizedError: no token, or none that the file knows.
        """
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise UnauthorizedError("a write needs a token: send `Authorization: Bearer ...` (PENSTOCK_TOKEN)")
        given = digest_of(token.strip())
        found = [known for known in self.tokens if hmac.compare_digest(known.sha256, given)]
        if not found:
            raise UnauthorizedError("this token is not in the tokens file")
        if not found[0].live(_now()):
            raise UnauthorizedError("this token has expired: have it rotated, `penstock tokens rotate`")
        return found[0]


class FollowedTokens:
    """The tokens file as it is now: a change is in force within a second. A file that breaks keeps the last good one.

    Raises:
        InvalidError: the file does not load at the start.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = _stamp(path)
        self._held = read_tokens(path)
        self._looked = time.monotonic()

    @property
    def tokens(self) -> tuple[Identity, ...]:
        """All tokens, expired ones included."""
        self._follow()
        return self._held.tokens

    def identify(self, authorization: str | None) -> Identity:
        """Return whose bearer token the header carries.

        Raises:
            UnauthorizedError: no token, none that the file knows, or an expired one.
        """
        self._follow()
        return self._held.identify(authorization)

    def _follow(self) -> None:
        now = time.monotonic()
        if now - self._looked < _FOLLOW_SECONDS:
            return
        self._looked = now
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._held = read_tokens(self._path)
            log.info("the tokens file was read again: %d tokens", len(self._held.tokens))
        except InvalidError as error:
            log.error("the tokens file is broken, the former one stays in force: %s", error)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - tokens expire by the machine's clock


def digest_of(token: str) -> str:
    """Return what the tokens file holds of a token; tokens are long random strings, so a plain hash is enough."""
    return hashlib.sha256(token.encode()).hexdigest()


def load_tokens(path: Path | None) -> KnownTokens:
    """Return the tokens of a file, which is followed; without a file nobody may write.

    Raises:
        InvalidError: the file is missing or breaks its form; every problem is listed.
    """
    return FollowedTokens(path) if path is not None else Tokens()


def read_tokens(path: Path) -> Tokens:
    """Return what the file holds now.

    Raises:
        InvalidError: it is missing or breaks its form; every problem is listed.
    """
    try:
        return Tokens.model_validate(yaml.safe_load(path.read_text()) or {})
    except OSError as error:
        raise InvalidError(f"tokens file {path}", [Problem("", error.strerror or "cannot be read")]) from None
    except yaml.YAMLError:
        raise InvalidError(f"tokens file {path}", [Problem("", "is not YAML")]) from None
    except ValidationError as error:
        raise InvalidError(f"tokens file {path}", problems_of(error)) from None
