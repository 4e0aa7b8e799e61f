"""Until everything recorded is known, answers would be wrong: 503 and when to ask again, but for health and files."""

from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from services.console.http_api.responses import Json

_ALWAYS = ("/health/", "/static/", "/openapi.json")


class NotYet:
    """Turns requests away until the projection has caught up."""

    def __init__(self, app: ASGIApp, caught_up: Callable[[], bool]) -> None:
        self._app = app
        self._caught_up = caught_up
        self._open = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Once caught up stays caught up: later lag is what the freshness chip shows.
        self._open = self._open or self._caught_up()
        if self._open or scope["type"] != "http" or scope["path"].startswith(_ALWAYS):
            await self._app(scope, receive, send)
            return
        body = {
            "error": "the console is reading the record",
            "next": "Ask again in a second; see /health/ready.",
        }
        await Json(body, 503, {"retry-after": "1"})(scope, receive, send)
