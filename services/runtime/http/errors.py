"""Which HTTP status reports which error: the one place, for every door."""

from penstock.errors import (
    InvalidError,
    NotFoundError,
    PermanentError,
    RefusedError,
    TransientError,
    UnauthorizedError,
)
from services.runtime.http.bodies import TooLargeError


class ForbiddenError(PermanentError):
    """A known identity without the role that it takes."""


_STATUS: tuple[tuple[type[Exception], int], ...] = (
    (UnauthorizedError, 401),
    (ForbiddenError, 403),
    (NotFoundError, 404),
    (RefusedError, 409),
    (TooLargeError, 413),
    (InvalidError, 422),
    (TransientError, 503),
)
RETRY_AFTER_S = 2


def status_of(error: Exception) -> int:
    """Return the status that reports this error; 500 for what is none of ours."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def retry_headers(status: int) -> dict[str, str]:
    """Return the headers that tell a client when to try again; none where that cannot help."""
    return {"retry-after": str(RETRY_AFTER_S)} if status in {429, 503} else {}
