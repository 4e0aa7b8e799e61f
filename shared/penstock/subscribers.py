"""The subscribers file: who is told of which events, where, and with which secret; every problem is listed at load."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Protocol

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from penstock.errors import InvalidError, NotFoundError, Problem
from penstock.events import problems_of
from penstock.targets import Name
from penstock.webhooks import key_of


def _many(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Texts = Annotated[tuple[str, ...], BeforeValidator(_many)]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    url: str | None = Field(default=None, pattern=r"^https?://[^/]")
    types: tuple[str, ...] = ()
    targets: tuple[str, ...] = ("*",)
    secret: Texts = ()
    secret_file: Path | None = None


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    subscribers: tuple[_Entry, ...] = ()


class Addressed(Protocol):
    """What an event is chosen by."""

    @property
    def type(self) -> str:
        """Noun and participle."""
        ...

    @property
    def target(self) -> str:
        """Environment, service and flag."""
        ...


class Subscriber(BaseModel):
    """Somebody to tell.

    Attributes:
        name: as plans name it; url: where to POST, None for an entry that only keeps a secret for rollback steps.
        types: patterns of event types such as `rollback.*`; plans' `communication` comes on top.
        targets: patterns of `environment/service/flag` that `types` are limited to.
        secrets: to sign with, newest first.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    url: str | None = Field(default=None, repr=False)
    types: tuple[str, ...] = ()
    targets: tuple[str, ...] = ("*",)
    secrets: tuple[str, ...] = Field(repr=False)

    def wants(self, event: Addressed) -> bool:
        """Whether the file alone subscribes it to this event."""
        return matches(self.types, event.type) and matches(self.targets, event.target)


class Subscribers:
    """All of the file."""

    def __init__(self, subscribers: Sequence[Subscriber]) -> None:
        self._by_name = {subscriber.name: subscriber for subscriber in subscribers}

    def get(self, name: str) -> Subscriber | None:
        """Return the subscriber of that name that can be told something, None if there is none."""
        subscriber = self._by_name.get(name)
        return subscriber if subscriber is not None and subscriber.url is not None else None

    def all(self) -> tuple[Subscriber, ...]:
        """Return everybody who can be told something, in the order of the file."""
        return tuple(subscriber for subscriber in self._by_name.values() if subscriber.url is not None)

    def secrets_of(self, name: str) -> tuple[str, ...]:
        """Return the secrets that the entry of that name keeps.

        Raises:
            NotFoundError: there is no such entry.
        """
        subscriber = self._by_name.get(name)
        if subscriber is None:
            raise NotFoundError(f"the subscribers file has no entry called {name}")
        return subscriber.secrets


def matches(patterns: Sequence[str], text: str) -> bool:
    """Whether one of the patterns (`*`, `?`, `[..]`) fits the whole text."""
    return any(fnmatchcase(text, pattern) for pattern in patterns)


def load_subscribers(path: Path | None) -> Subscribers:
    """Return the subscribers of the file, nobody without one.

    Raises:
        InvalidError: the file does not load; every problem is listed, secrets are never repeated.
    """
    if path is None:
        return Subscribers(())
    try:
        data = yaml.safe_load(path.read_text())
        file = _File.model_validate(data if data is not None else {})
    except OSError as error:
        raise InvalidError(str(path), [Problem("", f"cannot be read: {error.strerror}")]) from None
    except (yaml.YAMLError, UnicodeDecodeError):
        # The parser's own words may quote the line, and the line may hold a secret.
        raise InvalidError(str(path), [Problem("", "is not YAML")]) from None
    except ValidationError as error:
        raise InvalidError(str(path), problems_of(error)) from None
    problems: list[Problem] = []
    loaded = [_loaded(entry, f"subscribers.{place}", path, problems) for place, entry in enumerate(file.subscribers)]
    names = [subscriber.name for subscriber in loaded]
    problems += [
        Problem(f"subscribers.{place}.name", f"another entry is called {name!r} already")
        for place, name in enumerate(names)
        if name in names[:place]
    ]
    if problems:
        raise InvalidError(str(path), problems)
    return Subscribers(loaded)


def _loaded(entry: _Entry, where: str, path: Path, problems: list[Problem]) -> Subscriber:
    secrets = list(entry.secret)
    if bool(secrets) == (entry.secret_file is not None):
        problems.append(Problem(where, "say either `secret` (one, or a list during a rotation) or `secret_file`"))
    if entry.secret_file is not None:
        try:
            secrets += (path.parent / entry.secret_file).read_text().split()
        except (OSError, UnicodeDecodeError):
            problems.append(Problem(f"{where}.secret_file", "cannot be read"))
        else:
            if not secrets:
                problems.append(Problem(f"{where}.secret_file", "is empty"))
    for secret in secrets:
        try:
            key_of(secret)
        except InvalidError as error:
            problems += [Problem(f"{where}.{problem.where}", problem.what) for problem in error.problems]
    return Subscriber(name=entry.name, url=entry.url, types=entry.types, targets=entry.targets, secrets=tuple(secrets))
