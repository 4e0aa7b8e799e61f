"""The routes for dead letters: list them, and redrive some."""

from datetime import datetime

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from penstock.tokens import Role
from services.console.commands import Body
from services.console.http_api.reads import limit_of, since_of
from services.console.http_api.responses import Json, body_of
from services.console.http_api.security import Door
from services.console.read_models.dead_letters import DeadLetters, Letter
from services.console.redrive import Redrive
from services.runtime.http.errors import ForbiddenError
from services.runtime.http.worker import Worker
from services.runtime.process.service import Clock

MOST_AT_ONCE = 50
_MOST_BODY_BYTES = 64 * 1024


class RedriveBody(Body):
    """Body of a redrive: the places of the letters, `topic/partition@offset`."""

    ids: list[str] = Field(min_length=1, max_length=MOST_AT_ONCE)


class DeadLetterRoutes:
    """Serves them."""

    def __init__(self, letters: DeadLetters, redrive: Redrive, door: Door, clock: Clock) -> None:
        self._letters = letters
        self._redrive = redrive
        self._door = door
        self._clock = clock
        self._worker = Worker("redrive")

    def routes(self) -> list[Route]:
        """Return them."""
        return [
            Route("/api/dead-letters", self._list),
            Route("/api/dead-letters/redrive", self._redriven, methods=["POST"]),
        ]

    async def _list(self, request: Request) -> Response:
        query = request.query_params
        topic, service = query.get("topic"), query.get("service")
        since = since_of(query.get("since"), self._clock())
        limit = limit_of(request, 100, 10_000)

        def wanted(letter: Letter) -> bool:
            return (
                topic in {None, letter.place[0]} and service in {None, letter.service} and _is_since(letter.last, since)
            )

        newest = self._letters.newest(limit, wanted)
        return Json({"dead_letters": newest[::-1], "heard": self._letters.received})

    async def _redriven(self, request: Request) -> Response:
        who = self._door.identify(request, Role.OPERATOR)
        if "*" not in who.targets:
            # Whose input it is stands in bytes that nobody could read.
            raise ForbiddenError(f"{who.identity} is an operator of some targets only: redriving takes all targets")
        body = await body_of(RedriveBody, request, _MOST_BODY_BYTES, self._worker)
        results = [await self._redrive.redrive(place, who.identity, body.reason) for place in dict.fromkeys(body.ids)]
        return Json({"results": results})


def _is_since(milliseconds: int, since: datetime | None) -> bool:
    return since is None or milliseconds >= since.timestamp() * 1000
