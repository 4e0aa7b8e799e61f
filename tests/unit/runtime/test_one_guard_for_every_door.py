"""The guard of every HTTP door: each limit answers with its status and a reason, and health stays reachable."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from services.runtime.http.bodies import GoneError, read_body
from services.runtime.http.limits import Limits
from services.runtime.http.server import HttpServer, health_app

LIMITS = Limits(connections=20, per_address=10, reserve=4, body_bytes=1000, request_seconds=0.4, pipelined=4)


async def answering(scope: Any, receive: Any, send: Any) -> None:
    """Read the body and answer its length; `/health/` and `/stream` besides."""
    if scope["path"].startswith("/health/"):
        await health_app(lambda: True, lambda: True)(scope, receive, send)
        return
    try:
        size = len(await read_body(receive, 10_000))
    except GoneError:
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(size).encode(), "more_body": scope["path"] == "/stream"})
    if scope["path"] == "/stream":
        running.append(scope["query_string"])
        leaving = asyncio.ensure_future(receive())
        while not leaving.done():
            await send({"type": "http.response.body", "body": b"beat", "more_body": True})
            await asyncio.sleep(0.05)
        running.remove(scope["query_string"])


running: list[bytes] = []


@asynccontextmanager
async def door(limits: Limits = LIMITS) -> AsyncIterator[Callable[..., Any]]:
    server = HttpServer(answering, "127.0.0.1", 0, limits)
    await server.start()
    open_: list[asyncio.StreamWriter] = []

    async def connect(sent: bytes = b"") -> asyncio.StreamReader:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        open_.append(writer)
        writer.write(sent)
        connect.last = writer  # type: ignore[attr-defined]
        return reader

    try:
        yield connect
    finally:
        for writer in open_:
            writer.close()
        await server.stop()


async def status(reader: asyncio.StreamReader) -> tuple[int, str]:
    """Return status and reason of an answer that closes its connection."""
    answer = await asyncio.wait_for(reader.read(), 10)
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)["error"]


@pytest.mark.parametrize(
    ("sent", "code", "reason"),
    [
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", 414, "target is longer than 8192 bytes"),
        (b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 101 + b"\r\n", 431, "100 fields"),
        (b"GET / HTTP/1.1\r\nhost: x\r\na: " + b"b" * 40_000 + b"\r\n\r\n", 431, "32768 bytes"),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1001\r\n\r\n", 413, "larger than 1000 bytes"),
        (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n800\r\n" + b"a" * 2048, 413, "1000 bytes"),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nabc", 408, "did not arrive within 0.4 seconds"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "exactly one Host"),
        (b"GET / HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n", 400, "exactly one Host"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "not an HTTP/1.1 request"),
        (b"\x16\x03\x01\x02\x00\x01", 400, "not an HTTP/1.1 request"),
        (
            b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
            "not an",
        ),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd", 400, "not an"),
    ],
)
async def test_what_is_beyond_a_limit_is_answered_with_the_reason(sent: bytes, code: int, reason: str) -> None:
    async with door() as connect:
        found, error = await status(await connect(sent))
        assert (found, reason in error) == (code, True), error


async def test_endless_trailers_and_chunk_extensions_are_refused() -> None:
    limits = Limits(request_seconds=5)
    for piece in (b"x-a: " + b"b" * 5000 + b"\r\n", b"x" * 5000):
        async with door(limits) as connect:
            head = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n"
            reader = await connect(head + (b"0\r\n" if b":" in piece else b"1;"))
            for _ in range(20):
                await asyncio.sleep(0.005)
                connect.last.write(piece)  # type: ignore[attr-defined]
            assert (await status(reader))[0] in {400, 431}


async def test_a_flood_of_one_address_is_told_so_and_health_stays_reachable() -> None:
    async with door(Limits(connections=20, per_address=10, reserve=4)) as connect:
        for _ in range(60):
            await connect()
        probe = await connect(b"GET /health/ready HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await asyncio.wait_for(probe.read(), 10)).startswith(b"HTTP/1.1 200")
        code, error = await status(await connect(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"))
        assert (code, error) == (429, "your address holds 10 connections already")


async def test_pipelined_requests_are_answered_in_order_and_a_flood_of_them_is_ended() -> None:
    async with door() as connect:
        reader = await connect(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\na" * 500)
        answers = await asyncio.wait_for(reader.read(), 10)
        assert 5 <= answers.count(b"HTTP/1.1 200") < 100
        assert answers.count(b"HTTP/1.1 429") == 1
        assert b"HTTP/1.1" in answers.partition(b"429")[0]


async def test_whoever_leaves_ends_its_stream_also_with_a_request_queued_behind_it() -> None:
    async with door(Limits()) as connect:
        reader = await connect(b"GET /stream?a HTTP/1.1\r\nhost: x\r\n\r\nGET / HTTP/1.1\r\nhost: x\r\n\r\n")
        await asyncio.wait_for(reader.readuntil(b"0"), 10)
        assert running == [b"a"]
        connect.last.transport.abort()  # type: ignore[attr-defined]
        for _ in range(100):
            await asyncio.sleep(0.02)
            if not running:
                break
        assert not running


async def test_empty_lines_between_requests_do_not_keep_a_connection() -> None:
    async with door() as connect:
        reader = await connect(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\na")
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        closed = asyncio.create_task(reader.read())
        for _ in range(60):
            await asyncio.sleep(0.05)
            connect.last.write(b"\r\n")  # type: ignore[attr-defined]
            if closed.done():
                break
        assert closed.done()
