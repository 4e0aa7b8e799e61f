"""Posted forms: read with a limit, and which status tells which error."""

from urllib.parse import parse_qsl

from starlette.requests import Request

from penstock.errors import NotFoundError, TransientError, UnauthorizedError
from services.console.http_api.security import ForbiddenError, TooLargeError, read_body

_MOST_FORM = 16 * 1024
_STATUS: dict[type[Exception], int] = {
    UnauthorizedError: 401,
    ForbiddenError: 403,
    NotFoundError: 404,
    TransientError: 503,
}


async def form_of(request: Request) -> dict[str, str]:
    """Return the fields of a form.

    Raises:
        TooLargeError: too long, or no form.
    """
    raw = await read_body(request, _MOST_FORM)
    try:
        return dict(parse_qsl(raw.decode(), max_num_fields=50))
    except (UnicodeDecodeError, ValueError):
        raise TooLargeError("the form cannot be read") from None


def status_of(error: Exception) -> int:
    """Return the status that tells this error."""
    return next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 422)
