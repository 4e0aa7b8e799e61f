"""The HTTP server of flag control, the same in production and standalone: one worker, guarded, without access log."""

from services.flag_control.serving.http_limits import GuardedProtocol
from services.flag_control.serving.ofrep import Application
from services.runtime.http.server import HttpServer

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
