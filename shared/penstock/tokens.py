"""Who may ask for what: one file maps bearer tokens (by their SHA-256) to an identity and its roles."""

import hashlib
import hmac
from enum import StrEnum
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from penstock.errors import InvalidError, Problem, UnauthorizedError
from penstock.wording.problems import problems_of


class Role(StrEnum):
    """Roles with a meaning of their own; plans may name further ones for approvals."""

    PUBLISHER = "publisher"
    METRICS = "metrics"
    OPERATOR = "operator"
    RELEASE_MANAGER = "release-manager"
    PLANNER = "planner"
    ADMIN = "admin"


class Identity(BaseModel):
    """Who asks: `identity` is written into events as their actor."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", repr=False)
    identity: str = Field(min_length=1, max_length=200)
    roles: tuple[str, ...] = ()

    def has(self, *roles: str) -> bool:
        """Return whether this identity has one of the roles; `admin` has all."""
        return Role.ADMIN in self.roles or any(role in self.roles for role in roles)


class Tokens(BaseModel):
    """The tokens file."""

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
        return found[0]


def digest_of(token: str) -> str:
    """Return what the tokens file holds of a token; tokens are long random strings, so a plain hash is enough."""
    return hashlib.sha256(token.encode()).hexdigest()


def load_tokens(path: Path | None) -> Tokens:
    """Return the tokens of a file; without a file nobody may write.

    Raises:
        InvalidError: the file is missing or breaks its form; every problem is listed.
    """
    if path is None:
        return Tokens()
    try:
        return Tokens.model_validate(yaml.safe_load(path.read_text()) or {})
    except OSError as error:
        raise InvalidError(f"tokens file {path}", [Problem("", error.strerror or "cannot be read")]) from None
    except yaml.YAMLError:
        raise InvalidError(f"tokens file {path}", [Problem("", "is not YAML")]) from None
    except ValidationError as error:
        raise InvalidError(f"tokens file {path}", problems_of(error)) from None
