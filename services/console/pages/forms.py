"""Posted forms, read up to a limit."""

from urllib.parse import parse_qsl

from starlette.requests import Request

from services.runtime.http.bodies import TooLargeError, read_body

_MOST_FORM = 16 * 1024


async def form_of(request: Request) -> dict[str, str]:
    """Return the fields of a form.

    Raises:
        TooLargeError: too long, or no form.
    """
    raw = await read_body(request.receive, _MOST_FORM)
    try:
        return dict(parse_qsl(raw.decode(), max_num_fields=50))
    except (UnicodeDecodeError, ValueError):
        raise TooLargeError("the form cannot be read") from None
