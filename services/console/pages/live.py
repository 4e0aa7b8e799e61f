"""How pages stay current: one stream a browser reports changes, and each page fetches its own parts."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from penstock.rollout import Phase
from services.console.http_api.event_stream import BEAT, Hub
from services.console.http_api.responses import Json
from services.console.pages.site import Page, Site
from services.console.read_models.entries import Entry
from services.console.read_models.projection import Projection
from services.console.read_models.rollout import Book
from services.runtime.process.service import Clock

_QUIET_S = 0.25
_BEAT_S = 5.0
_LATE_WINDOWS = 3
_LATE_AT_LEAST_S = 15.0
_MEASURED = (Phase.BAKING, Phase.SOAKING)

Make = Callable[[Request], Page]
Common = Callable[[Request], dict[str, Any]]


class Live:
    """The stream of changes, and the parts of pages."""

    def __init__(self, site: Site, projection: Projection, hub: Hub, clock: Clock, common: Common) -> None:
        self._site = site
        self._projection = projection
        self._hub = hub
        self._clock = clock
        self._common = common

    async def changes(self, _: Request) -> Response:
        """Answer with a stream of `{"seq", "now", "targets"}`: something changed; a few a second at most."""
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(self._changes(), media_type="text/event-stream", headers=headers)

    async def _changes(self) -> AsyncIterator[str]:
        with self._hub.listening() as queue:
            yield BEAT + self._message(set())
            while True:
                targets: set[str] = set()
                try:
                    entry: Entry | None = await asyncio.wait_for(queue.get(), _BEAT_S)
                    # Effects of one cause arrive together: wait briefly, report them once.
                    await asyncio.sleep(_QUIET_S)
                    while entry is not None:
                        targets.add(entry.event.target)
                        entry = queue.get_nowait()
                    return
                except (TimeoutError, asyncio.QueueEmpty):
                    yield self._message(targets)

    def _message(self, targets: set[str]) -> str:
        now = self._clock().isoformat()
        document = {"seq": self._projection.seq, "now": now, "targets": sorted(targets)}
        return f"data: {msgspec.json.encode(document).decode()}\n\n"

    def parts(self, make: Make) -> Callable[[Request], Any]:
        """Return the route that answers with the page's present `{"seq", "now", "title", "parts", "evidence"}`."""

        async def answer(request: Request) -> Response:
            page, common = make(request), self._common(request)
            document = {
                "seq": common["seq"],
                "now": common["now"].isoformat(),
                "title": page.title,
                "parts": self._site.parts(page, common),
                "evidence": self._evidence(page),
            }
            return Json(document, headers={"cache-control": "no-store"})

        return answer

    def _evidence(self, page: Page) -> dict[str, Any] | None:
        if page.wanted.rollout is not None:
            book = self._projection.book(page.wanted.rollout)
            return evidence_of(book) if book is not None else None
        if page.template != "overview.html":
            return None
        found = [evidence for book in self._projection.books() if (evidence := evidence_of(book)) is not None]
        # The overview shows many rollouts: report the one that has been silent for longest.
        return min(found, key=lambda evidence: str(evidence["at"]), default=None)


def evidence_of(book: Book) -> dict[str, Any] | None:
    """Return how old what a measured rollout is judged by is, None where nothing is measured.

    `{"at", "late_s", "due", "then"}`: end of the last judged window (or the stage's entry), seconds after which it
    counts as silent, when the dead-man timer acts, and what it does.
    """
    if book.state is None or book.plan is None or book.state.phase not in _MEASURED:
        return None
    ends: list[datetime] = [book.points[-1].at] if book.points else []
    ends += [book.entered[-1].time] if book.entered else []
    if not ends:
        return None
    at, plan = max(ends), book.plan
    return {
        "at": at.isoformat(),
        "late_s": max(_LATE_AT_LEAST_S, _LATE_WINDOWS * plan.windows.length),
        "due": (at + timedelta(seconds=plan.dead_man.after)).isoformat(),
        "then": "rolls back" if plan.dead_man.action == "rollback" else "holds",
    }
