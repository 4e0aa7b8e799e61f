"""An ASGI application served by uvicorn inside the service's own loop, and the health answers of every process."""

import asyncio
import socket
from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import partial
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from penstock.errors import UnavailableError
from services.runtime.http.admission import Admission
from services.runtime.http.errors import HTTP_ERRORS
from services.runtime.http.guard import GuardedProtocol
from services.runtime.http.limits import Limits
from services.runtime.process.service import Parked
from services.runtime.process.tasks import begin

_GRACE_S = 3


class HttpServer:
    """Serves one application on one address, behind the guard.

    Args:
        limits: what a client may send, and how long it may take.
        protocol: a subclass of the guard, for tests that look inside.

    Attributes:
        port: the port it listens on; with port 0, known after the start.
    """

    def __init__(
        self,
        app: Any,
        host: str,
        port: int,
        limits: Limits | None = None,
        protocol: type[GuardedProtocol] = GuardedProtocol,
        **options: Any,
    ) -> None:
        self._app = app
        self._host = host
        self.port = port
        self._limits = limits or Limits()
        self._protocol = protocol
        self._options = options
        self._server: uvicorn.Server | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            UnavailableError: the address is taken or not ours.
        """
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        # asyncio sets TCP_NODELAY only where the protocol is named: without it every answer waits 40 ms for an ACK.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self._host, self.port))
        except OSError as error:
            listener.close()
            raise UnavailableError(
                f"cannot listen on {self._host}:{self.port}: {error.strerror}; stop what uses it or choose another port"
            ) from None
        self.port = listener.getsockname()[1]
        config = uvicorn.Config(
            self._app,
            # Its warnings are of what clients send (no HTTP, an upgrade to nothing): anybody could fill the disk.
            log_level="error",
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=_GRACE_S,
            server_header=False,
            proxy_headers=False,
            ws="none",
            timeout_keep_alive=self._limits.idle_seconds,  # type: ignore[arg-type]
            http=partial(self._protocol, admission=Admission(self._limits)),  # type: ignore[arg-type]
            **self._options,
        )
        self._server = uvicorn.Server(config)
        # The process's entry point owns the signals; uvicorn must not take them.
        self._task = begin(self._server._serve([listener]))
        while not self._server.started:
            if self._task.done():
                await self._task
                raise UnavailableError(f"the HTTP server on port {self.port} ended at its start")
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Finish open requests, at most a few seconds, and stop."""
        if self._server is not None and self._task is not None:
            self._server.should_exit = True
            await asyncio.gather(self._task, return_exceptions=True)

    def alive(self) -> bool:
        """Whether the server's task runs."""
        return self._task is None or not self._task.done()


def health_routes(
    ready: Callable[[], bool],
    alive: Callable[[], bool],
    parked: Callable[[], Iterable[Parked]] = tuple,
    more: Callable[[], dict[str, Any]] = dict,
) -> list[Route]:
    """Return `GET /health/live` and `GET /health/ready`: 200 or 503.

    Args:
        parked: targets that are held back; the readiness answer names them, and stays what it is.
        more: is said with the readiness.
    """

    async def live(_: Request) -> JSONResponse:
        return JSONResponse({"alive": alive()}, 200 if alive() else 503)

    async def readiness(_: Request) -> JSONResponse:
        document: dict[str, Any] = {"ready": ready(), **more()}
        held = [asdict(one) for one in parked()]
        return JSONResponse({**document, "parked": held} if held else document, 200 if document["ready"] else 503)

    return [Route("/health/live", live), Route("/health/ready", readiness)]


def health_app(
    ready: Callable[[], bool],
    alive: Callable[[], bool],
    parked: Callable[[], Iterable[Parked]] = tuple,
    more: Callable[[], dict[str, Any]] = dict,
) -> Starlette:
    """Return an application with nothing but the health answers."""
    return Starlette(routes=health_routes(ready, alive, parked, more), exception_handlers=HTTP_ERRORS)
