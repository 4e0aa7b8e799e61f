"""Flag control's write endpoint, as the command line asks it."""

from typing import Any, Self

import httpx

from penstock.cli.client import settings
from penstock.errors import InvalidError, NotFoundError, Problem, RefusedError, UnauthorizedError, UnavailableError
from penstock.targets import parse_target

Document = dict[str, Any]

_TIMEOUT_SECONDS = 15.0


class FlagClient:
    """A client of one flag control."""

    def __init__(self, server: str, token: str | None, transport: httpx.BaseTransport | None = None) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._server = server.rstrip("/")
        self._http = httpx.Client(base_url=self._server, headers=headers, timeout=_TIMEOUT_SECONDS, transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def flags(self) -> list[Document]:
        """Return every flag, briefly."""
        found: list[Document] = self.listing()["flags"]
        return found

    def listing(self) -> Document:
        """Return `{"flags": [...]}`, with `stale` where the instance started without Kafka and its flags may be old."""
        return self._asked("GET", "/flags")

    def flag(self, target: str) -> Document:
        """Return one flag whole."""
        return self._asked("GET", _path(target))

    def export(self, name: str) -> Document:
        """Return a set as flagd JSON."""
        return self._asked("GET", "/flags/export", params={"set": name})

    def act(self, target: str, verb: str, **fields: Any) -> Document:
        """Ask for something, with a reason."""
        return self._asked("POST", f"{_path(target)}/{verb}", json=fields)

    def _asked(self, method: str, path: str, **options: Any) -> Document:
        try:
            answer = self._http.request(method, path, **options)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise UnavailableError(
                f"flag control at {self._server} does not answer ({type(error).__name__}); "
                "set PENSTOCK_FLAGS_SERVER, or run `penstock up` for a local one"
            ) from None
        try:
            document: Document = answer.json()
        except ValueError:
            raise UnavailableError(f"{self._server} is no flag control: it answered {answer.status_code}") from None
        if answer.is_success:
            return document
        raise _error_of(answer.status_code, document)


def _error_of(status: int, document: Document) -> Exception:
    text = str(document.get("error", f"flag control answered {status}"))
    if status in {401, 403}:
        return UnauthorizedError(text)
    if status == 404:
        return NotFoundError(text)
    if status == 409:
        return RefusedError(text)
    if status == 422:
        problems = [Problem(entry["where"], entry["what"]) for entry in document.get("problems", [])]
        return InvalidError("flag control refuses the request", problems or [Problem("", text)])
    return UnavailableError(text)


def _path(target: str) -> str:
    try:
        return f"/flags/{parse_target(target)}"
    except ValueError as error:
        raise InvalidError("target", [Problem("", str(error))]) from None


def connect() -> FlagClient:
    """Return a client of the flag control that the settings name."""
    known = settings()
    return FlagClient(known.flags_server, known.token)
