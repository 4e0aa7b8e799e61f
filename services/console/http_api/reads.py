"""The reading half of the HTTP API: rollouts, events, streams, plans."""

import re
from collections import deque
from datetime import datetime, timedelta

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from penstock.errors import InvalidError, NotFoundError, Problem
from penstock.events import BY_TYPE
from penstock.events.cdevents.outward import to_standard
from penstock.rollout import Phase
from services.console.http_api.event_stream import Hub
from services.console.http_api.responses import Json
from services.console.read_models.entries import Wanted, chronological, unknown_types
from services.console.read_models.json_views import plan_document, view_of
from services.console.read_models.projection import Projection
from services.console.read_models.rollout import Book
from services.runtime.process.service import Clock

_SINCE = re.compile(r"(\d{1,6})(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_STREAM_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}


class Reads:
    """The routes that only read."""

    def __init__(self, projection: Projection, hub: Hub, clock: Clock) -> None:
        self._projection = projection
        self._hub = hub
        self._clock = clock

    def routes(self) -> list[Route]:
        """Return them."""
        return [
            Route("/api/rollouts", self._rollouts),
            Route("/api/rollouts/{rollout}", self._rollout),
            Route("/api/rollouts/{rollout}/events", self._rollout_events),
            Route("/api/rollouts/{rollout}/cdevents", self._cdevents),
            Route("/api/events", self._events),
            Route("/api/stream", self._stream),
            Route("/api/plans", self._plans),
        ]

    async def _rollouts(self, request: Request) -> Response:
        query = request.query_params
        phase, target, limit = query.get("phase"), query.get("target"), limit_of(request, 100, 1000)
        if phase is not None and phase not in set(Phase):
            raise InvalidError("query", [Problem("phase", f"{phase!r} is none of: {', '.join(Phase)}")])
        books = [
            book
            for book in self._projection.books()
            if book.state is not None
            and target in {None, book.state.target}
            and phase in {None, book.state.phase.value}
        ]
        return Json({"rollouts": [self._view(book) for book in books[:limit]]})

    async def _rollout(self, request: Request) -> Response:
        return Json(self._view(book_of(self._projection, request)))

    async def _rollout_events(self, request: Request) -> Response:
        book = book_of(self._projection, request)
        return Json({"events": [entry.document() for entry in chronological(book.entries)]})

    async def _cdevents(self, request: Request) -> Response:
        """The rollout in the words of the CDEvents standard."""
        book = book_of(self._projection, request)
        assert book.announced is not None
        former = former_rollout(self._projection, book)
        returned_to = former.announced.release if former is not None and former.announced is not None else None
        said = [to_standard(entry.event, book.announced.release, returned_to) for entry in chronological(book.entries)]
        return Json({"cdevents": [document for document in said if document is not None]})

    async def _events(self, request: Request) -> Response:
        limit = limit_of(request, 500, 20_000)
        newest = deque(self._projection.entries(checked(wanted_of(request, self._clock()))), maxlen=limit)
        return Json({"events": [entry.numbered() for entry in newest]})

    async def _stream(self, request: Request) -> Response:
        last = request.headers.get("last-event-id") or request.query_params.get("after")
        events = self._hub.events(checked(wanted_of(request, self._clock())), last)
        return StreamingResponse(events, media_type="text/event-stream", headers=_STREAM_HEADERS)

    async def _plans(self, _: Request) -> Response:
        return Json({"plans": [plan for target in self._projection.targets() for plan in plan_document(target)]})

    def _view(self, book: Book) -> dict[str, object]:
        assert book.state is not None
        return view_of(book, self._projection.target(book.state.target))


def book_of(projection: Projection, request: Request) -> Book:
    """Return the rollout that the path names.

    Raises:
        NotFoundError: none of that id has been announced.
    """
    rollout = str(request.path_params["rollout"])
    book = projection.book(rollout)
    if book is None:
        raise NotFoundError(f"no rollout {rollout[:100]}")
    return book


def former_rollout(projection: Projection, book: Book) -> Book | None:
    """Return the last rollout of the target that was completed before this one."""
    assert book.state is not None
    earlier: Book | None = None
    for other in projection.target(book.state.target).rollouts:
        if other is book:
            break
        if other.state is not None and other.state.phase is Phase.COMPLETED:
            earlier = other
    return earlier


def wanted_of(request: Request, now: datetime) -> Wanted:
    """Return what the query asks for: `types` (comma-separated patterns), `rollout`, `target`, `since` (10m, RFC 3339).

    Raises:
        InvalidError: a `since` that is neither.
    """
    query = request.query_params
    types = tuple(part.strip() for part in query.get("types", "").split(",") if part.strip())
    return Wanted(types, query.get("rollout"), query.get("target"), since_of(query.get("since"), now))


def checked(wanted: Wanted) -> Wanted:
    """Return it if each of its patterns matches a type of event.

    Raises:
        InvalidError: a pattern matches none; the types are listed.
    """
    if unknown := unknown_types(wanted.types):
        listed = f"matches no event type; there are: {', '.join(sorted(BY_TYPE))}"
        raise InvalidError("query", [Problem("types", f"{one[:50]!r} {listed}") for one in unknown])
    return wanted


def since_of(text: str | None, now: datetime) -> datetime | None:
    """Return the moment that a `since` names (10m, RFC 3339), None without one.

    Raises:
        InvalidError: it is neither.
    """
    if not text:
        return None
    match = _SINCE.fullmatch(text)
    if match is not None:
        return now - timedelta(seconds=int(match[1]) * _SECONDS[match[2]])
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise InvalidError("query", [Problem("since", f"{text[:50]!r} is neither like 10m nor an RFC 3339 time")])
    return moment


def limit_of(request: Request, usual: int, most: int) -> int:
    """Return the query's `limit`.

    Raises:
        InvalidError: no number between 1 and `most`.
    """
    text = request.query_params.get("limit")
    if text is None:
        return usual
    if not text.isascii() or not text.isdigit() or len(text) > 9 or not 1 <= int(text) <= most:
        raise InvalidError("query", [Problem("limit", f"must be a number from 1 to {most}")])
    return int(text)
