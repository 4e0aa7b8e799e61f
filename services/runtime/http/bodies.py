"""Request bodies: read up to a limit, inflated up to a limit, JSON without its traps."""

import json
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from penstock.errors import InvalidError, PermanentError, Problem, UnavailableError
from penstock.wire.depth import too_deep, unwritable

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

MOST_LEVELS = 64
_MOST_DIGITS = 20
_MOST_MEMBERS = 64
_MOST_RATIO = 250
_FREE_OF_RATIO = 1024 * 1024


class TooLargeError(PermanentError):
    """A body beyond the limit."""


class GoneError(Exception):
    """The client left before its request was whole."""


class Lease:
    """The bytes of one request; see `Budget`."""

    def __init__(self, budget: "Budget") -> None:
        self._budget = budget
        self._held = 0

    def add(self, size: int) -> None:
        """Count bytes that have arrived.

        Raises:
            UnavailableError: all requests together hold too many.
        """
        if self._budget.held + size > self._budget.most:
            raise UnavailableError("too many large requests are under way; try again in a moment")
        self._held += size
        self._budget.held += size

    def __enter__(self) -> "Lease":
        return self

    def __exit__(self, *_: object) -> None:
        self._budget.held -= self._held


class Budget:
    """Bytes that the bodies of all requests of a door may take at once.

    Attributes:
        held: by the requests under way.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.held = 0

    def lease(self) -> Lease:
        """Return the context manager that counts one request's bytes."""
        return Lease(self)


async def read_body(receive: Receive, most: int, lease: Lease | None = None) -> bytes:
    """Return the body of an ASGI request.

    Raises:
        TooLargeError: longer than `most` bytes.
        UnavailableError: beyond the budget of the lease.
        GoneError: the client disconnected.
    """
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise GoneError
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > most:
            raise TooLargeError(f"the body is longer than {most} bytes")
        if lease is not None:
            lease.add(len(chunk))
        chunks.append(chunk)
        if not message.get("more_body"):
            return b"".join(chunks) if len(chunks) > 1 else chunk


def inflate(body: bytes, most: int) -> bytes:
    """Return what a gzip body holds: all of its members, one after another (RFC 1952, section 2.2).

    Raises:
        InvalidError: it is no gzip, is cut short, or has too many members.
        TooLargeError: more than `most` bytes, or a bomb.
    """
    whole: list[bytes] = []
    size, rest = 0, body
    for _ in range(_MOST_MEMBERS):
        inflater = zlib.decompressobj(wbits=31)
        try:
            part = inflater.decompress(rest, most + 1 - size)
        except zlib.error as error:
            raise InvalidError("request", [Problem("", f"is not gzip: {error}")]) from None
        whole.append(part)
        size += len(part)
        if size > most:
            raise TooLargeError(f"the body is larger than {most} bytes after inflation; send smaller batches")
        if size > max(_FREE_OF_RATIO, _MOST_RATIO * len(body)):
            raise TooLargeError(f"the body inflates to more than {_MOST_RATIO} times its size; send it less compressed")
        if not inflater.eof:
            raise InvalidError("request", [Problem("", "the gzip body is cut short")])
        rest = inflater.unused_data
        if not rest:
            return b"".join(whole)
    raise InvalidError("request", [Problem("", f"the gzip body has more than {_MOST_MEMBERS} members")])


def parse_json(raw: bytes, subject: str = "body") -> Any:
    """Return a JSON value that can be written again as it was read.

    Raises:
        InvalidError: no JSON (RFC 8259), a name that stands twice, a number beyond 20 digits, half of a surrogate
            pair, or nesting deeper than 64 levels.
    """
    try:
        text = raw.decode()
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_constant, parse_int=_integer)
    except RecursionError:
        raise InvalidError(subject, [Problem("", _deep())]) from None
    except UnicodeDecodeError:
        raise InvalidError(subject, [Problem("", "is not UTF-8")]) from None
    except ValueError as error:
        raise InvalidError(subject, [Problem("", f"is not JSON: {error}")]) from None
    if too_deep(value, MOST_LEVELS):
        raise InvalidError(subject, [Problem("", _deep())])
    if (what := unwritable(value)) is not None:
        raise InvalidError(subject, [Problem("", what)])
    return value


def _deep() -> str:
    return f"is nested deeper than {MOST_LEVELS} levels"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in found if names.count(name) > 1)
        raise ValueError(f"the name {twice[:50]!r} stands twice in one object")
    return found


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _integer(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"a number has more than {_MOST_DIGITS} digits")
    return int(digits)
