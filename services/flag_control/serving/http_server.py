"""The HTTP server of flag control, the same in production and standalone: many clients, small requests."""

from services.flag_control.serving.ofrep import Application
from services.runtime.http.limits import Limits
from services.runtime.http.server import HttpServer

LIMITS = Limits(connections=20_000, per_address=10_000, body_bytes=512 * 1024, idle_seconds=75.0)


def http_server(app: Application, host: str, port: int) -> HttpServer:
    """Return the server, not yet started."""
    return HttpServer(app, host, port, LIMITS, date_header=False)
