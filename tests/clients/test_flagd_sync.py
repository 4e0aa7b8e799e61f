"""flagd sync, spoken raw: what is sent, to whom, and what a client is never sent."""

import asyncio
import json
import socket
import struct
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from openfeature.schemas.protobuf.flagd.sync.v1 import sync_pb2, sync_pb2_grpc

from penstock.errors import SettingsError, UnavailableError
from penstock.settings import Settings
from services.flag_control.evaluation.validate import check
from services.flag_control.serving import flagd_sync
from services.flag_control.serving.flagd_sync import SyncServer
from services.flag_control.serving.store import FlagStore
from services.flag_control.serving.tls import server_credentials
from tests.bench.flags import frames
from tests.support.flags.sets import boolean

REQUEST = sync_pb2.SyncFlagsRequest()


def source(name: str = "one", set_id: str = "x", **flags: object):
    return check(name, {"flags": flags or {"a": boolean()}, "metadata": {"flagSetId": set_id}}).source


@asynccontextmanager
async def serving(
    store: FlagStore, **options: object
) -> AsyncIterator[tuple[SyncServer, sync_pb2_grpc.FlagSyncServiceStub]]:
    server = SyncServer(store, "127.0.0.1", 0, **options)  # type: ignore[arg-type]
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield server, sync_pb2_grpc.FlagSyncServiceStub(channel)
    await server.stop()


async def next_of(call: object) -> dict:
    response = await asyncio.wait_for(call.read(), 5)  # type: ignore[attr-defined]
    return json.loads(response.flag_configuration)


async def test_the_whole_set_comes_at_once_and_with_every_change_and_holds_only_flags() -> None:
    store = FlagStore()
    store.publish(source())
    async with serving(store) as (server, stub):
        call = stub.SyncFlags(REQUEST)
        first = await next_of(call)
        assert set(first) == {"flags"}
        assert first["flags"]["a"]["metadata"] == {"flagSetId": "x"}
        store.publish(source(a=boolean(defaultVariant="on"), b=boolean()))
        assert set((await next_of(call))["flags"]) == {"a", "b"}
        assert len(server.streams.connected) == 1
        call.cancel()


async def test_a_client_without_flags_is_refused_and_never_told_that_there_are_none() -> None:
    store = FlagStore()
    async with serving(store) as (_, stub):
        for ask in (stub.SyncFlags(REQUEST).read(), stub.FetchAllFlags(sync_pb2.FetchAllFlagsRequest())):
            with pytest.raises(grpc.aio.AioRpcError) as newer:
                await asyncio.wait_for(ask, 5)
            assert newer.value.code() is grpc.StatusCode.NOT_FOUND


async def test_the_selector_header_wins_over_the_requests_own_and_both_work() -> None:
    store = FlagStore()
    store.publish(source("one", "x"))
    store.publish(source("two", "y", b=boolean()))
    async with serving(store) as (_, stub):
        header = (("flagd-selector", "flagSetId=y"),)
        by_header = stub.SyncFlags(sync_pb2.SyncFlagsRequest(selector="flagSetId=x"), metadata=header)
        assert set((await next_of(by_header))["flags"]) == {"b"}
        by_request = stub.SyncFlags(sync_pb2.SyncFlagsRequest(selector="source=one"))
        assert set((await next_of(by_request))["flags"]) == {"a"}
        fetched = await stub.FetchAllFlags(sync_pb2.FetchAllFlagsRequest(), metadata=header)
        assert set(json.loads(fetched.flag_configuration)["flags"]) == {"b"}
        by_header.cancel()
        by_request.cancel()


async def test_the_servers_context_is_sent_with_the_flags_and_as_metadata() -> None:
    store = FlagStore()
    store.publish(source())
    async with serving(store, context={"tenant": "acme", "beta": True}) as (_, stub):
        call = stub.SyncFlags(REQUEST)
        response = await call.read()
        assert MessageToDict(response.sync_context) == {"tenant": "acme", "beta": True}
        metadata = await stub.GetMetadata(sync_pb2.GetMetadataRequest())
        assert MessageToDict(metadata.metadata) == {"tenant": "acme", "beta": True}
        call.cancel()


async def test_a_client_that_does_not_read_gets_the_newest_set_and_delays_nobody() -> None:
    store = FlagStore()
    store.publish(source())
    large = {"state": "ENABLED", "variants": {"x": "y" * 100_000}, "defaultVariant": "x"}
    async with serving(store) as (_, stub):
        idle, reading = stub.SyncFlags(REQUEST), stub.SyncFlags(REQUEST)
        await next_of(reading)
        for number in range(50):
            store.publish(source(a={**large, "metadata": {"n": number}}))
            assert (await next_of(reading))["flags"]["a"]["metadata"]["n"] == number
        found = [(await next_of(idle))["flags"]["a"].get("metadata", {}).get("n")]
        while found[-1] != 49:
            found.append((await next_of(idle))["flags"]["a"]["metadata"]["n"])
        assert len(found) < 50, "what was not read in time was passed over"
        idle.cancel()
        reading.cancel()


async def test_a_server_that_stops_ends_its_streams_so_that_clients_reconnect() -> None:
    store = FlagStore()
    store.publish(source())
    async with serving(store) as (server, stub):
        call = stub.SyncFlags(REQUEST)
        await next_of(call)
        await asyncio.wait_for(server.stop(), 3)
        with pytest.raises(grpc.aio.AioRpcError) as newer:
            await call.read()
        assert newer.value.code() is grpc.StatusCode.UNAVAILABLE
        assert server.streams.connected == set()


async def test_a_taken_port_is_a_clear_error() -> None:
    store = FlagStore()
    async with serving(store) as (server, _):
        with pytest.raises(UnavailableError, match="flagd sync"):
            await SyncServer(store, "127.0.0.1", server.port).start()


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    key, cert = folder / f"{name}.key", folder / f"{name}.pem"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(cert)],
        capture_output=True, check=False,
    )  # fmt: skip
    if made.returncode != 0:
        pytest.skip("no openssl to make a certificate with")
    return cert, key


@pytest.mark.parametrize("mutual", [False, True])
async def test_over_tls_and_with_client_certificates(tmp_path: Path, mutual: bool) -> None:
    cert, key = certificate(tmp_path, "server")
    client_cert, client_key = certificate(tmp_path, "client")
    settings = Settings(sync_cert_file=cert, sync_key_file=key, sync_client_ca_file=client_cert if mutual else None)
    store = FlagStore()
    store.publish(source())
    server = SyncServer(store, "localhost", 0, credentials=server_credentials(settings))
    await server.start()
    try:
        whole = grpc.ssl_channel_credentials(cert.read_bytes(), client_key.read_bytes(), client_cert.read_bytes())
        async with grpc.aio.secure_channel(f"localhost:{server.port}", whole) as channel:
            call = sync_pb2_grpc.FlagSyncServiceStub(channel).SyncFlags(REQUEST)
            assert await next_of(call)
            call.cancel()
        if mutual:
            bare = grpc.ssl_channel_credentials(cert.read_bytes())
            async with grpc.aio.secure_channel(f"localhost:{server.port}", bare) as channel:
                with pytest.raises(grpc.aio.AioRpcError):
                    await sync_pb2_grpc.FlagSyncServiceStub(channel).SyncFlags(REQUEST, timeout=3).read()
    finally:
        await server.stop()


@pytest.mark.parametrize("who", ["of another CA", "expired", "without any", "in plain text"])
async def test_a_client_that_cannot_show_who_it_is_gets_nothing_and_delays_nobody(tmp_path: Path, who: str) -> None:
    server_cert, server_key = certificate(tmp_path, "server")
    ca_cert, ca_key = certificate(tmp_path, "ca")
    foreign_cert, foreign_key = certificate(tmp_path, "foreign")
    good, bad = signed(tmp_path, "good", (ca_cert, ca_key)), signed(tmp_path, "bad", (ca_cert, ca_key), days=-1)
    settings = Settings(sync_cert_file=server_cert, sync_key_file=server_key, sync_client_ca_file=ca_cert)
    store = FlagStore()
    store.publish(source())
    server = SyncServer(store, "localhost", 0, credentials=server_credentials(settings))
    await server.start()
    shown = {"of another CA": (foreign_cert, foreign_key), "expired": bad, "without any": None}

    def channel(pair: tuple[Path, Path] | None) -> grpc.aio.Channel:
        cert, key = (part.read_bytes() for part in pair) if pair else (None, None)
        return grpc.aio.secure_channel(
            f"localhost:{server.port}", grpc.ssl_channel_credentials(server_cert.read_bytes(), key, cert)
        )

    try:
        plain = who == "in plain text"
        hostile = grpc.aio.insecure_channel(f"localhost:{server.port}") if plain else channel(shown[who])
        async with hostile, channel(good) as honest:
            refused = sync_pb2_grpc.FlagSyncServiceStub(hostile).SyncFlags(REQUEST, timeout=5)
            call = sync_pb2_grpc.FlagSyncServiceStub(honest).SyncFlags(REQUEST)
            assert await next_of(call)
            with pytest.raises(grpc.aio.AioRpcError) as newer:
                await refused.read()
            assert newer.value.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
            assert len(server.streams.connected) == 1
            call.cancel()
    finally:
        await server.stop()


def signed(folder: Path, name: str, ca: tuple[Path, Path], days: int = 1) -> tuple[Path, Path]:
    """Return a certificate that the CA has signed, and its key; it has run out where `days` are negative."""
    key, asked, cert = (folder / f"{name}.{end}" for end in ("key", "csr", "pem"))
    subject = ["-subj", "/CN=client", "-addext", "subjectAltName=DNS:client"]
    commands = (
        ["req", "-new", "-newkey", "rsa:2048", "-nodes", *subject, "-keyout", str(key), "-out", str(asked)],
        ["x509", "-req", "-in", str(asked), "-CA", str(ca[0]), "-CAkey", str(ca[1]), "-set_serial", "7",
         "-days", str(days), "-out", str(cert)],
    )  # fmt: skip
    for command in commands:
        made = subprocess.run(["openssl", *command], capture_output=True, check=False)
        assert made.returncode == 0, made.stderr.decode()
    return cert, key


async def test_pings_at_the_interval_that_clients_are_told_to_use_do_not_end_their_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Shorter by a hundred: gRPC passes over an option that it does not know, and then allows a ping in five minutes.
    shorter = tuple((name, value // 100 if "ping" in name else value) for name, value in flagd_sync._OPTIONS)
    assert shorter != flagd_sync._OPTIONS
    monkeypatch.setattr(flagd_sync, "_OPTIONS", shorter)
    store = FlagStore()
    store.publish(source())
    async with serving(store) as (server, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(frames._opening() + frames._frame(frames._SETTINGS, frames._ACK, 0))
        answered = 0
        while answered < 6:
            writer.write(frames._frame(frames._PING, 0, 0, bytes(8)))
            await asyncio.sleep(0.25)
            kinds = await kinds_of(reader)
            assert frames._GO_AWAY not in kinds, "too many pings"
            answered += frames._PING in kinds
        writer.close()


async def kinds_of(reader: asyncio.StreamReader) -> list[int]:
    """Return the kinds of the frames that have come."""
    found: list[int] = []
    while True:
        try:
            head = await asyncio.wait_for(reader.readexactly(9), 0.1)
        except TimeoutError:
            return found
        await reader.readexactly(int.from_bytes(head[:3]))
        found.append(head[3])


async def test_an_address_of_ipv6_is_listened_on() -> None:
    store = FlagStore()
    store.publish(source())
    server = SyncServer(store, "::1", 0)
    try:
        await server.start()
    except UnavailableError:
        with socket.socket(socket.AF_INET6) as tried, pytest.raises(OSError):  # noqa: PT011 - no IPv6 at all
            tried.bind(("::1", 0))
        pytest.skip("no IPv6 here")
    async with grpc.aio.insecure_channel(f"[::1]:{server.port}") as channel:
        found = await sync_pb2_grpc.FlagSyncServiceStub(channel).FetchAllFlags(sync_pb2.FetchAllFlagsRequest())
        assert found.flag_configuration
    await server.stop()


async def test_a_refusal_fits_into_a_header_however_long_the_selector_was() -> None:
    store = FlagStore()
    store.publish(source())
    async with serving(store) as (_, stub):
        with pytest.raises(grpc.aio.AioRpcError) as newer:
            await stub.FetchAllFlags(sync_pb2.FetchAllFlagsRequest(selector="x" * 60_000))
        assert newer.value.code() is grpc.StatusCode.NOT_FOUND


def test_half_of_a_certificate_is_a_settings_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="SYNC_KEY_FILE"):
        server_credentials(Settings(sync_cert_file=tmp_path / "x"))


class Window(asyncio.Protocol):
    """A raw client that has an HTTP/2 window of that many bytes; it keeps what it was sent."""

    def __init__(self, window: int) -> None:
        self.window, self.data, self.ended = window, b"", asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        wide = frames._opening()
        narrow = wide.replace(struct.pack(">HI", 4, frames._LARGEST_WINDOW), struct.pack(">HI", 4, self.window))
        transport.write(narrow)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self.data += data
        if b"grpc-status" in data or b"nothing was read" in data:
            self.ended.set()

    def open_window(self) -> None:
        grow = struct.pack(">I", 2**20)
        self.transport.write(frames._frame(frames._WINDOW, 0, 1, grow))  # type: ignore[attr-defined]


async def test_a_client_that_reads_nothing_is_closed_and_counted_apart_and_a_reader_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(flagd_sync, "TAKE_SECONDS", 0.6)
    monkeypatch.setattr(flagd_sync, "_LOOK_SECONDS", 0.1)
    store = FlagStore()
    store.publish(source())
    loop = asyncio.get_running_loop()
    async with serving(store) as (server, stub):
        call = stub.SyncFlags(REQUEST)
        await next_of(call)
        _, stuck = await loop.create_connection(lambda: Window(0), "127.0.0.1", server.port)
        await asyncio.sleep(0.3)
        assert len(server.streams.connected) == 2
        assert [one.sent is None for one in server.streams.connected].count(True) == 1
        await asyncio.sleep(0.8)
        assert (len(server.streams.connected), len(server.streams.closed)) == (1, 1)
        store.publish(source(a=boolean(defaultVariant="on")))
        await next_of(call)
        assert all(one.sent is not None for one in server.streams.connected)
        # It was only slow: it reads what it was sent, then that it has to come again.
        assert b"flag_configuration" not in stuck.data
        assert b'{"flags"' not in stuck.data
        stuck.open_window()
        await asyncio.wait_for(stuck.ended.wait(), 5)
        assert b'{"flags"' in stuck.data
        stuck.transport.close()
        call.cancel()
