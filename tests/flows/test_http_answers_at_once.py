"""The HTTP server of the services must not leave answers to Nagle's algorithm: 40 ms on every evaluation of a flag."""

import asyncio
import socket
from typing import Any

from services.runtime.http.guard import GuardedProtocol
from services.runtime.http.server import HttpServer, health_app

_delays: list[bool] = []


class _Watched(GuardedProtocol):
    def connection_made(self, transport: Any) -> None:
        accepted = transport.get_extra_info("socket")
        _delays.append(not accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        super().connection_made(transport)


async def test_accepted_connections_send_at_once() -> None:
    _delays.clear()
    server = HttpServer(health_app(lambda: True, lambda: True), "127.0.0.1", 0, protocol=_Watched)
    await server.start()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /health/live HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
        assert b" 200 " in await reader.readline()
        await reader.read()
        writer.close()
        await writer.wait_closed()
    finally:
        await server.stop()
    assert _delays == [False]
