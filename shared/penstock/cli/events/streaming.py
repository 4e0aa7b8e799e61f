"""What `events tail` and `listen` share: how types and times are asked for, and the stream itself."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from itertools import islice
from typing import Annotated, Any

import typer

from penstock.client import Client
from penstock.events import BY_TYPE
from penstock.plan.units import seconds
from penstock.wire.sse import Message

Types = Annotated[
    list[str] | None, typer.Option("--types", "-t", help="Patterns such as rollback.*; comma-separated or repeated.")
]
Rollout = Annotated[str | None, typer.Option("--rollout", help="Only events of this rollout.")]
Since = Annotated[str | None, typer.Option("--since", help="Begin so far back, such as 10m, 2h, 1d.")]


def checked_types(types: list[str] | None) -> str | None:
    """Return the patterns joined by commas.

    Raises:
        BadParameter: a pattern that no event type can match: a typo would wait indefinitely.
    """
    patterns = [pattern.strip() for given in types or [] for pattern in given.split(",") if pattern.strip()]
    for pattern in patterns:
        if not any(fnmatchcase(known, pattern) for known in BY_TYPE):
            nouns = sorted({known.partition(".")[0] for known in BY_TYPE})
            raise typer.BadParameter(
                f"no event type matches {pattern!r}; types begin with {', '.join(nouns)}", param_hint="--types"
            )
    return ",".join(patterns) or None


def checked_since(since: str | None) -> str | None:
    """Return the duration as it was given.

    Raises:
        BadParameter: not a duration.
    """
    if since is not None:
        try:
            seconds(since)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--since") from None
    return since


def messages(
    client: Client, types: list[str] | None, rollout: str | None, since: str | None, count: int | None
) -> Iterator[Message]:
    """Yield events as they happen, at most `count`."""
    stream = client.stream(types=checked_types(types), rollout=rollout, since=checked_since(since))
    return islice(stream, count)


def row_of(message: Message) -> dict[str, Any]:
    """Return the message as `events list` has it."""
    return {
        "topic": message.topic,
        "partition": message.partition,
        "offset": message.offset,
        "event": message.event,
    }
