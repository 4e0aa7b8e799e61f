"""The HTTP server of flag control, the same in production and standalone: one worker, guarded, without access log."""

from services.runtime.http import HttpServer

from .guarded import GuardedProtocol
from .ofrep import Application

KEEP_ALIVE_SECONDS = 75
_MOST_CONNECTIONS = 20_000


def http_server(app: Application, host: str, port: int) -> HttpServer:
    """Return the server, not yet started."""
    return HttpServer(
        app,
        host,
        port,
        http=GuardedProtocol,
        ws="none",
        date_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        limit_concurrency=_MOST_CONNECTIONS,
        proxy_headers=False,
    )
