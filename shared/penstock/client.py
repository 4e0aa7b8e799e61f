"""The HTTP client of the console: bearer token, errors of our tree, an event stream that resumes and never repeats."""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

import httpx
import msgspec

from penstock.errors import (
    InvalidError,
    NotFoundError,
    Problem,
    RefusedError,
    TransientError,
    UnauthorizedError,
    UnavailableError,
)
from penstock.wire.sse import Message, messages

Document = dict[str, Any]

_SILENCE = 60.0
"""Seconds without even a heartbeat after which a stream counts as dead."""
_REMEMBERED = 20_000
"""Event ids held for de-duplication; reconnections repeat far fewer."""


class CommandRefusedError(RefusedError):
    """The rollout has moved, or does not allow this; `rollout` is its present view, `refusal` the recorded event."""

    def __init__(self, message: str, refusal: Document, rollout: Document) -> None:
        super().__init__(message)
        self.refusal, self.rollout = refusal, rollout


class Client:
    """A client of one console.

    Args:
        server: its address; token: bearer token, writes need one.
        transport: another way to send, for tests.
        sleep: how to wait between reconnections.
    """

    def __init__(
        self,
        server: str,
        token: str | None = None,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.server = server.rstrip("/")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(base_url=self.server, headers=headers, transport=transport, timeout=30.0)
        self._sleep = sleep

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, path: str, **query: object) -> Document:
        """Return the JSON object at `path`.

        Raises:
            PenstockError: NotFoundError, UnauthorizedError, InvalidError, UnavailableError.
        """
        return self._call("GET", path, params=_given(query))

    def post(self, path: str, body: Mapping[str, Any]) -> Document:
        """Return the answer to a JSON object.

        Raises:
            PenstockError: as `get`; CommandRefusedError where the state does not allow it.
        """
        return self._call("POST", path, json=dict(body))

    def rollouts(self, **query: object) -> list[Document]:
        """Return views of rollouts, by `target`, `phase`, `limit`."""
        return list(self.get("/api/rollouts", **query)["rollouts"])

    def rollout(self, rollout: str) -> Document:
        """Return the view of one rollout."""
        return self.get(f"/api/rollouts/{_safe(rollout)}")

    def rollout_events(self, rollout: str) -> list[Document]:
        """Return `{topic, partition, offset, event}` of every public event of a rollout."""
        return list(self.get(f"/api/rollouts/{_safe(rollout)}/events")["events"])

    def act(
        self,
        rollout: str,
        verb: str,
        reason: str,
        expected: Mapping[str, Any] | None = None,
        override: bool = False,
    ) -> Document:
        """Ask for `promote`, `hold`, `resume`, `rollback` or `approve`; return `{event, rollout}` or `{accepted, see}`.

        Args:
            expected: `{stage, sequence}` that were looked at: if the rollout has moved since, it refuses.
            override: promote past a gate that has not passed.
        """
        body: Document = {"reason": reason}
        if expected:
            body["expected"] = dict(expected)
        if override:
            body["override"] = True
        return self.post(f"/api/rollouts/{_safe(rollout)}/{verb}", body)

    def publish(self, event: Mapping[str, Any]) -> Document:
        """Send one CloudEvent (structured mode); return `{accepted: [{id, target, rollout}]}`."""
        headers = {"Content-Type": "application/cloudevents+json"}
        return self._call("POST", "/events", content=msgspec.json.encode(event), headers=headers)

    def events(self, **query: object) -> list[Document]:
        """Return recorded events by `types`, `rollout`, `since`, `limit`."""
        return list(self.get("/api/events", **query)["events"])

    def register_plan(self, text: str, reason: str) -> Document:
        """Register a plan by its exact text; return `{event}`."""
        headers = {"Content-Type": "application/yaml"}
        return self._call("POST", "/api/plans", content=text.encode(), params={"reason": reason}, headers=headers)

    def stream(self, last: str | None = None, **query: object) -> Iterator[Message]:
        """Yield events as they happen, by `types`, `rollout`, `since`; each event id once.

        A lost connection is taken up where it broke (Last-Event-ID). Ends only by the caller.

        Args:
            last: position to resume after.

        Raises:
            PenstockError: the first connection fails, or the server refuses the query.
        """
        seen: OrderedDict[str, None] = OrderedDict()
        connected, wait = False, 0.5
        while True:
            try:
                for message in self._messages(last, query):
                    connected, wait, last = True, 0.5, message.seq or last
                    key = str(message.event.get("id"))
                    if key not in seen:
                        seen[key] = None
                        while len(seen) > _REMEMBERED:
                            seen.popitem(last=False)
                        yield message
                connected = True
            except TransientError:
                if not connected:
                    raise
            self._sleep(wait)
            wait = min(wait * 2, 5.0)

    def _messages(self, last: str | None, query: Mapping[str, object]) -> Iterator[Message]:
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last} if last else {})}
        timeout = httpx.Timeout(10.0, read=_SILENCE)
        try:
            with self._http.stream(
                "GET", "/api/stream", params=_given(query), headers=headers, timeout=timeout
            ) as answer:
                if answer.status_code != httpx.codes.OK:
                    answer.read()
                    self._raise(answer)
                yield from messages(answer.iter_text())
        except httpx.HTTPError as error:
            raise self._unreachable(error) from None

    def _call(self, method: str, path: str, **arguments: Any) -> Document:
        try:
            answer = self._http.request(method, path, **arguments)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from None
        if not answer.is_success:
            self._raise(answer)
        return _document(answer)

    def _unreachable(self, error: Exception) -> UnavailableError:
        return UnavailableError(
            f"{self.server} does not answer ({type(error).__name__}: {error}). "
            "Is it running (`penstock up`), and is PENSTOCK_SERVER its address?"
        )

    def _raise(self, answer: httpx.Response) -> None:
        document = _document(answer)
        said = str(document.get("error") or document.get("detail") or answer.reason_phrase)
        following = f" {document['next']}" if document.get("next") else ""
        match answer.status_code:
            case 401 | 403:
                raise UnauthorizedError(f"{said}.{following or ' Set PENSTOCK_TOKEN to a token with the role.'}")
            case 404:
                raise NotFoundError(f"{said} ({answer.url.path}). `penstock rollouts list` shows those there are.")
            case 409:
                refusal = document.get("refusal") or {}
                raise CommandRefusedError(
                    f"refused: {refusal.get('detail') or said}", refusal, document.get("rollout") or {}
                )
            case status if 400 <= status < 500 and status != 429:
                problems = [
                    Problem(str(entry.get("where", "")), str(entry.get("what", "")), entry.get("line"))
                    for entry in document.get("problems", [])
                ]
                raise InvalidError("the server refuses this request", problems or [Problem("", said)])
            case status:
                raise UnavailableError(f"{self.server} answers {status}: {said}.{following}")


def _given(query: Mapping[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in query.items() if value is not None}


def _safe(name: str) -> str:
    if not name or not all(letter.isalnum() or letter in "-_" for letter in name):
        raise NotFoundError(f"{name!r} is no rollout id. `penstock rollouts list` shows them.")
    return name


def _document(answer: httpx.Response) -> Document:
    try:
        document = answer.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
