"""The subscribers file: who receives which events, where, and which secret signs what; lists every problem at load."""

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Protocol

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from penstock.egress import host_and_port
from penstock.errors import InvalidError, NotFoundError, Problem, RefusedError
from penstock.targets import Name
from penstock.webhooks import key_of
from penstock.wording.problems import problems_of


def _many(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Texts = Annotated[tuple[str, ...], BeforeValidator(_many)]
_HOST = re.compile(r"(\*\.)?[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:\d{1,5})?|\[[0-9a-f:.]+\](:\d{1,5})?")

_PORT = re.compile(r"(?<=[^:]):\d{1,5}$")


def _host(text: str) -> str:
    if not _HOST.fullmatch(text.lower()):
        raise ValueError(f"{text!r} is not a host: write ci.example.com, ci.example.com:8443 or *.ci.example.com")
    return text.lower()


class StepUse(BaseModel):
    """What rollback steps may sign with an entry's secret; nothing without it.

    Attributes:
        hosts: `host`, `host:port` or `*.domain`, that the steps may post to; without a port the scheme's own.
        targets: patterns of `environment/service/flag` whose plans may use it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    hosts: Annotated[tuple[Annotated[str, AfterValidator(_host)], ...], BeforeValidator(_many)] = Field(min_length=1)
    targets: Annotated[tuple[str, ...], BeforeValidator(_many)] = Field(min_length=1)

    def allows(self, url: str, target: str) -> bool:
        """Whether a step of the target may post to this address."""
        # Read by the code that also connects: two readers of one address may find two hosts in it.
        name, port = host_and_port(url)
        usual = 80 if url.lower().startswith("http:") else 443
        return matches(self.targets, target) and any(_fits(host, name, port, usual) for host in self.hosts)


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    url: str | None = Field(default=None, pattern=r"^https?://[^/]")
    types: tuple[str, ...] = ()
    targets: tuple[str, ...] = ("*",)
    secret: Texts = ()
    secret_file: Path | None = None
    steps: StepUse | None = None


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
    """A receiver of events.

    Attributes:
        name: as plans name it; url: where to POST, None for an entry that only keeps a secret for rollback steps.
        types: patterns of event types such as `rollback.*`; `communication` in plans adds to them.
        targets: patterns of `environment/service/flag` that `types` are limited to.
        secrets: to sign with, newest first; steps: what rollback steps may sign with them.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    url: str | None = Field(default=None, repr=False)
    types: tuple[str, ...] = ()
    targets: tuple[str, ...] = ("*",)
    secrets: tuple[str, ...] = Field(repr=False)
    steps: StepUse | None = None

    def wants(self, event: Addressed) -> bool:
        """Whether the file alone subscribes it to this event."""
        return matches(self.types, event.type) and matches(self.targets, event.target)


class Subscribers:
    """All of the file."""

    def __init__(self, subscribers: Sequence[Subscriber]) -> None:
        self._by_name = {subscriber.name: subscriber for subscriber in subscribers}

    def get(self, name: str) -> Subscriber | None:
        """Return the subscriber of that name with a `url`, None if there is none."""
        subscriber = self._by_name.get(name)
        return subscriber if subscriber is not None and subscriber.url is not None else None

    def all(self) -> tuple[Subscriber, ...]:
        """Return all subscribers with a `url`, in the order of the file."""
        return tuple(subscriber for subscriber in self._by_name.values() if subscriber.url is not None)

    def secrets_of(self, name: str, url: str, target: str) -> tuple[str, ...]:
        """Return the secrets that a rollback step of the target may sign a post to this address with.

        Raises:
            NotFoundError: there is no entry of that name.
            RefusedError: the entry is not for this host, or not for this target.
        """
        subscriber = self._by_name.get(name)
        if subscriber is None:
            raise NotFoundError(f"the subscribers file has no entry called {name}")
        if subscriber.steps is None or not subscriber.steps.allows(url, target):
            # The entry's hosts and targets are not repeated: who writes plans may try them out.
            raise RefusedError(
                f"the secret {name} is not for this host and target: its entry in the subscribers file must name both, "
                "`steps: {hosts: [...], targets: [...]}`"
            )
        return subscriber.secrets


def matches(patterns: Sequence[str], text: str) -> bool:
    """Whether one of the patterns (`*`, `?`, `[..]`) fits the whole text."""
    return any(fnmatchcase(text, pattern) for pattern in patterns)


def _fits(host: str, name: str, port: int, usual: int) -> bool:
    expected, _, given = host.rpartition(":") if _PORT.search(host) else (host, "", "")
    if port != (int(given) if given else usual):
        return False
    return name.endswith(expected[1:]) if expected.startswith("*.") else name == expected.strip("[]")


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
        # The parser's message may quote the line, and the line may hold a secret.
        raise InvalidError(str(path), [Problem("", "is not YAML")]) from None
    except ValidationError as error:
        raise InvalidError(str(path), problems_of(error)) from None
    problems: list[Problem] = []
    loaded = [_load_one(entry, f"subscribers.{place}", path, problems) for place, entry in enumerate(file.subscribers)]
    names = [subscriber.name for subscriber in loaded]
    problems += [
        Problem(f"subscribers.{place}.name", f"another entry is called {name!r} already")
        for place, name in enumerate(names)
        if name in names[:place]
    ]
    if problems:
        raise InvalidError(str(path), problems)
    return Subscribers(loaded)


def _load_one(entry: _Entry, where: str, path: Path, problems: list[Problem]) -> Subscriber:
    secrets = list(entry.secret)
    if bool(secrets) == (entry.secret_file is not None):
        problems.append(Problem(where, "give either `secret` (one, or a list during a rotation) or `secret_file`"))
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
    if entry.url is None and entry.steps is None:
        what = "has no `url` and no `steps`: give a `url`, or which hosts and targets the secret signs steps for"
        problems.append(Problem(where, what))
    given = entry.model_dump(include={"name", "url", "types", "targets"})
    return Subscriber(**given, secrets=tuple(secrets), steps=entry.steps)
