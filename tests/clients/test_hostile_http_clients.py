"""Slow, endless and deaf HTTP clients: they are let go, and delay nobody."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from services.flag_control.serving import http_server
from services.flag_control.standalone.server import Served
from tests.support.flags.sets import EVERY_KIND, boolean, serving_files, written

PATH = "/ofrep/v1/evaluate/flags"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "LIMITS", replace(http_server.LIMITS, request_seconds=0.4))


async def connected(served: Served) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", served.http.port)


async def works(served: Served) -> bool:
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"http://127.0.0.1:{served.http.port}{PATH}/bool", json={})
        return answer.status_code == 200


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"POST /ofrep/v1/evaluate/flags/bool HTTP/1.1\r\nhost: x\r\n",
        b"POST /ofrep/v1/evaluate/flags/bool HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{",
    ],
    ids=["silent", "in its headers", "in its body"],
)
@pytest.mark.usefixtures("impatient")
async def test_a_request_that_does_not_arrive_in_time_is_let_go(tmp_path: Path, beginning: bytes) -> None:
    async with serving_files(written(tmp_path / "f.json", EVERY_KIND)) as served:
        slow = [await connected(served) for _ in range(20)]
        for _, writer in slow:
            writer.write(beginning)
        assert await works(served)
        for reader, writer in slow:
            answer = await asyncio.wait_for(reader.read(), 10)
            assert answer.startswith(b"HTTP/1.1 408") is bool(beginning), "whoever has begun learns why"
            assert (b"did not arrive within 0.4 seconds" in answer) is bool(beginning)
            writer.close()


@pytest.mark.usefixtures("impatient")
async def test_a_connection_that_only_rests_between_requests_is_kept(tmp_path: Path) -> None:
    async with serving_files(written(tmp_path / "f.json", EVERY_KIND)) as served:
        reader, writer = await connected(served)
        for _ in range(2):
            writer.write(b"POST /ofrep/v1/evaluate/flags/bool HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}")
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
            assert head.startswith(b"HTTP/1.1 200")
            await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
            await asyncio.sleep(0.8)
        writer.close()


async def test_endless_headers_are_refused(tmp_path: Path) -> None:
    async with serving_files(written(tmp_path / "f.json", EVERY_KIND)) as served:
        reader, writer = await connected(served)
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\n")
        line = b"x-filler: " + b"y" * 1000 + b"\r\n"
        refused = b""
        try:
            for _ in range(1000):
                writer.write(line)
                await writer.drain()
            refused = await asyncio.wait_for(reader.read(), 10)
        except ConnectionError:
            refused = b"HTTP/1.1 431"
        assert refused == b"" or refused.startswith(b"HTTP/1.1 431")
        assert await works(served)
        writer.close()


@pytest.mark.parametrize(("length", "status"), [(30_000, 200), (60_000, 431), (200_000, 431)])
async def test_long_headers_are_refused_also_where_they_come_in_one_piece(
    tmp_path: Path, length: int, status: int
) -> None:
    async with serving_files(written(tmp_path / "f.json", EVERY_KIND)) as served:
        reader, writer = await connected(served)
        filler = b"x-filler: " + b"y" * length
        writer.write(b"POST " + PATH.encode() + b"/bool HTTP/1.1\r\nhost: x\r\n" + filler + b"\r\n\r\n")
        try:
            answer = await asyncio.wait_for(reader.readuntil(b"\r\n"), 10)
        except ConnectionError:
            answer = b"HTTP/1.1 431"
        assert answer.startswith(b"HTTP/1.1 %d" % status)
        writer.close()


async def test_a_large_body_behind_headers_that_end_between_two_pieces_is_read(tmp_path: Path) -> None:
    async with serving_files(written(tmp_path / "f.json", EVERY_KIND)) as served:
        reader, writer = await connected(served)
        body = b'{"context":{"a":"' + b"x" * 100_000 + b'"}}'
        head = b"POST " + PATH.encode() + b"/bool HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r" % len(body)
        writer.write(head)
        await writer.drain()
        await asyncio.sleep(0.1)
        writer.write(b"\n" + body)
        assert (await asyncio.wait_for(reader.readuntil(b"\r\n"), 10)).startswith(b"HTTP/1.1 200")
        writer.close()


async def test_a_client_that_closes_its_half_after_asking_gets_its_answers_in_order(tmp_path: Path) -> None:
    async with serving_files(written(tmp_path / "f.json", EVERY_KIND)) as served:
        reader, writer = await connected(served)
        for key in ("bool", "int", "string"):
            writer.write(b"POST %s/%s HTTP/1.1\r\nhost: x\r\n\r\n" % (PATH.encode(), key.encode()))
        writer.write_eof()
        answers = await asyncio.wait_for(reader.read(), 10)
        assert answers.count(b"HTTP/1.1 200") == 3
        assert answers.index(b'"key":"bool"') < answers.index(b'"key":"int"') < answers.index(b'"key":"string"')
        writer.close()


async def test_what_anybody_can_send_writes_nothing_to_the_log(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with serving_files(written(tmp_path / "f.json", EVERY_KIND)) as served:
        upgrade = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n"
        for sent, status in (
            (b"\x16\x03\x01\r\n\r\n", b"400"),
            (b"POST " + PATH.encode() + b"/bool HTTP/1.1\r\nhost: x\r\n" + upgrade + b"\r\n", b"200"),
            (b"GET /ofrep/v1/events?" + b"&".join([b"a=1"] * 50) + b" HTTP/1.1\r\nhost: x\r\n\r\n", b"400"),
        ):
            reader, writer = await connected(served)
            writer.write(sent)
            assert (await asyncio.wait_for(reader.readuntil(b"\r\n"), 10)).startswith(b"HTTP/1.1 " + status)
            writer.close()
    written_to = capfd.readouterr()
    assert written_to.out + written_to.err == ""


@pytest.mark.usefixtures("impatient")
async def test_a_client_that_does_not_read_its_answers_is_let_go(tmp_path: Path) -> None:
    big = {"state": "ENABLED", "variants": {"x": "y" * 2_000_000}, "defaultVariant": "x"}
    async with serving_files(written(tmp_path / "f.json", {"flags": {"big": big, "bool": boolean()}})) as served:
        _, writer = await connected(served)
        asked = b"POST /ofrep/v1/evaluate/flags/big HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}"
        writer.write(asked * 50)
        for _ in range(100):
            assert await works(served)
            if not served.http._server.server_state.connections:  # type: ignore[union-attr]
                break
            await asyncio.sleep(0.1)
        assert not served.http._server.server_state.connections  # type: ignore[union-attr]
        writer.close()


@pytest.mark.parametrize(
    "rubbish", [b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"POST / HTTP/9.9\r\n\r\n", b"\x00" * 1000]
)
async def test_rubbish_is_answered_with_400_or_hung_up_on(tmp_path: Path, rubbish: bytes) -> None:
    async with serving_files(written(tmp_path / "f.json", EVERY_KIND)) as served:
        reader, writer = await connected(served)
        writer.write(rubbish)
        try:
            answer = await asyncio.wait_for(reader.read(), 15)
        except ConnectionError:
            answer = b""
        assert answer == b"" or answer.startswith(b"HTTP/1.1 400")
        assert await works(served)
        writer.close()


async def test_an_event_stream_says_when_to_ask_again_and_resumes_from_the_last_event(tmp_path: Path) -> None:
    path = written(tmp_path / "f.json", {"flags": {"a": boolean(targeting=None)}})
    async with serving_files(path) as served, httpx.AsyncClient(timeout=10) as client:
        address = f"http://127.0.0.1:{served.http.port}/ofrep/v1/events"
        async with client.stream("GET", address) as stream:
            lines = stream.aiter_lines()
            first = await message(lines)
            written(path, {"flags": {"a": boolean(targeting=None, defaultVariant="on")}})
            second = await message(lines)
            assert first["type"] == second["type"] == "refetchEvaluation"
            assert first["etag"] != second["etag"]
        async with client.stream("GET", address, headers={"last-event-id": second["etag"]}) as stream:
            lines = stream.aiter_lines()
            written(path, {"flags": {"a": boolean(targeting=None, defaultVariant="off")}})
            assert (await message(lines))["etag"] == first["etag"], "nothing for what the client had seen"


async def message(lines: object) -> dict[str, str]:
    async for line in lines:  # type: ignore[attr-defined]
        if line.startswith("data: "):
            found: dict[str, str] = json.loads(line.removeprefix("data: "))
            return found
    raise AssertionError("the stream ended")


async def test_only_pages_of_named_origins_may_read_answers(tmp_path: Path) -> None:
    path = written(tmp_path / "f.json", EVERY_KIND)
    async with serving_files(path, origins="https://app.example.com") as served, httpx.AsyncClient() as client:
        address = f"http://127.0.0.1:{served.http.port}{PATH}/bool"
        for origin, allowed in (("https://app.example.com", True), ("https://evil.example.com", False)):
            asked = await client.options(address, headers={"origin": origin, "access-control-request-method": "POST"})
            answer = await client.post(address, json={}, headers={"origin": origin})
            for found in (asked, answer):
                assert (found.headers.get("access-control-allow-origin") == origin) is allowed
