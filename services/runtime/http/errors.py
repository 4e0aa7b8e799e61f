"""Which HTTP status reports which error: the one place, for every door."""

from http import HTTPStatus
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from penstock.errors import (
    InvalidError,
    NotFoundError,
    PermanentError,
    RefusedError,
    TooManyAttemptsError,
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
    (TooManyAttemptsError, 429),
    (TransientError, 503),
)
RETRY_AFTER_S = 2


def status_of(error: Exception) -> int:
    """Return the status that reports this error; 500 for what is none of ours."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def retry_headers(status: int, error: Exception | None = None) -> dict[str, str]:
    """Return the headers that tell a client when to try again; none where that cannot help."""
    if isinstance(error, TooManyAttemptsError):
        return {"retry-after": str(error.retry_after)}
    return {"retry-after": str(RETRY_AFTER_S)} if status in {429, 503} else {}


_NEXT = {
    404: "Check the path: docs/console.md and docs/flags.md list what there is.",
    405: "Use one of the methods that the Allow header names.",
}


async def on_http_error(request: Request, error: Exception) -> Response:
    """Starlette's handler of its own refusals: an unknown path, a wrong method."""
    assert isinstance(error, HTTPException)
    what = f"{HTTPStatus(error.status_code).phrase.lower()}: {request.method} {quote(request.url.path[:100])}"
    body = {"error": what, "next": _NEXT.get(error.status_code, "Correct the request and send it again.")}
    return JSONResponse(body, error.status_code, dict(error.headers or {}))


async def on_failure(_: Request, __: Exception) -> Response:
    """Starlette's handler of what should not happen; the log has the traceback."""
    body = {"error": "the service failed at this request", "next": "Report it with the log of the service."}
    return JSONResponse(body, 500)


HTTP_ERRORS = {HTTPException: on_http_error, Exception: on_failure}
"""Exception handlers of every Starlette application."""
