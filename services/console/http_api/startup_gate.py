"""Answers 503 until all events have been read, because answers would be incomplete; health and static files work."""

from collections.abc import Callable

from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from services.console.http_api.responses import Json

_WORDS = "Penstock is still starting (loading events)"
_PAGE = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Starting · Penstock</title><link rel="stylesheet" href="/static/style.css"></head>
<body><main><h1>{_WORDS}.</h1><p class="muted">This page reloads every two seconds.</p></main></body></html>
"""
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
        if b"text/html" in dict(scope["headers"]).get(b"accept", b""):
            await HTMLResponse(_PAGE, 503, {"retry-after": "2", "refresh": "2"})(scope, receive, send)
            return
        body = {"error": _WORDS, "next": "Try again in a few seconds; see /health/ready."}
        await Json(body, 503, {"retry-after": "1"})(scope, receive, send)
