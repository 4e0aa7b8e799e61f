"""A target, `environment/service/flag`, is what is rolled out and the key of every control topic."""

import re
from typing import Annotated, NamedTuple

from pydantic import AfterValidator

_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Target(NamedTuple):
    """The three parts of a target."""

    environment: str
    service: str
    flag: str

    def __str__(self) -> str:
        return "/".join(self)


def parse_target(text: str) -> Target:
    """Return the parts of `environment/service/flag`.

    Raises:
        ValueError: not three parts of letters, digits, `.`, `_`, `-`.
    """
    parts = text.split("/")
    if len(parts) != 3 or not all(_PART.fullmatch(part) and ".." not in part for part in parts):
        raise ValueError(
            f"{text!r} is not a target: write environment/service/flag, each of letters, digits, '.', '_', '-'"
        )
    return Target(*parts)


def _checked(text: str) -> str:
    return str(parse_target(text))


def _checked_part(text: str) -> str:
    if not _PART.fullmatch(text) or ".." in text:
        raise ValueError(
            f"{text!r} must be letters, digits, '.', '_', '-' (at most 100, starting with a letter or digit)"
        )
    return text


TargetKey = Annotated[str, AfterValidator(_checked)]
Name = Annotated[str, AfterValidator(_checked_part)]
