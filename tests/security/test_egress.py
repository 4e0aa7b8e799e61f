"""Attacks by addresses: no webhook reaches metadata or our own network, by any form, redirect or name server."""

import asyncio
import ipaddress

import pytest

from penstock.egress import Answer, Egress, is_allowed
from penstock.errors import RefusedError, UnavailableError

METADATA = [
    "169.254.169.254",
    "169.254.170.2",
    "169.254.0.23",
    "192.0.0.192",
    "168.63.129.16",
    "100.100.100.200",
    "fd00:ec2::254",
    "fd00:ec2::23",
    "fd20:ce::254",
    "fd00:c1::a9fe:a9fe",
    "fd00:42::42",
    "fe80::a9fe:a9fe",
    "fec0::1",
    "feff::1",
    "64:ff9b:1::a9fe:a9fe",
]


def disguises(text: str) -> list[str]:
    """Return the IPv6 addresses that carry this IPv4 one."""
    number = int(ipaddress.IPv4Address(text))
    high, low = number >> 16, number & 0xFFFF
    flipped = number ^ 0xFFFFFFFF
    return [
        f"::ffff:{text}",
        f"::{text}",
        f"::ffff:0:{text}",
        f"64:ff9b::{high:x}:{low:x}",
        f"2002:{high:x}:{low:x}::1",
        f"2001:0:5db8:d822:0:0:{flipped >> 16:x}:{flipped & 0xFFFF:x}",
        f"2001:0:{high:x}:{low:x}:0:0:a247:27dd",
        f"2606:2800:220:1:0:5efe:{high:x}:{low:x}",
        f"2606:2800:220:1:200:5efe:{high:x}:{low:x}",
    ]


@pytest.mark.parametrize("allow_private", [False, True])
@pytest.mark.parametrize("text", METADATA)
def test_metadata_is_never_reached_also_where_private_addresses_are_allowed(text: str, allow_private: bool) -> None:
    assert not is_allowed(ipaddress.ip_address(text), allow_private)


@pytest.mark.parametrize("allow_private", [False, True])
@pytest.mark.parametrize("text", [text for text in METADATA if "." in text])
def test_metadata_is_not_reached_in_any_disguise(text: str, allow_private: bool) -> None:
    for disguise in disguises(text):
        assert not is_allowed(ipaddress.ip_address(disguise), allow_private), disguise


@pytest.mark.parametrize("text", ["10.0.0.1", "127.0.0.1", "192.168.7.7"])
def test_private_addresses_are_not_reached_in_any_disguise(text: str) -> None:
    for disguise in disguises(text):
        assert not is_allowed(ipaddress.ip_address(disguise), allow_private=False), disguise


class Listener:
    """A server on loopback that counts connections and answers each with the same bytes."""

    def __init__(self, answer: bytes = b"HTTP/1.1 204 No Content\r\n\r\n") -> None:
        self.answer, self.connections, self.port = answer, 0, 0

    async def __aenter__(self) -> "Listener":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(self.answer)
        await writer.drain()
        writer.close()


async def test_a_name_that_resolves_to_loopback_the_second_time_is_refused_then_and_connects_nowhere() -> None:
    """DNS rebinding between two attempts, and between the check and the connection."""
    asked: list[str] = []

    async def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["203.0.113.1"] if len(asked) == 1 else ["127.0.0.1"]

    async with Listener() as server:
        egress = Egress(resolve=rebinding)
        url = f"http://rebind.example:{server.port}/"
        with pytest.raises((UnavailableError, RefusedError)):
            await egress.post(url, b"", {}, 0.3)
        assert len(asked) == 1  # The address that was checked is the one that is connected to.
        with pytest.raises(RefusedError):
            await egress.post(url, b"", {}, 0.3)
        await egress.close()
    assert server.connections == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_to_metadata_or_loopback_are_answers_and_nothing_follows_them(status: int) -> None:
    async with Listener() as inner:
        for to in (f"http://127.0.0.1:{inner.port}/", "http://169.254.169.254/latest/meta-data/", "file:///etc/passwd"):
            answer = f"HTTP/1.1 {status} Moved\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n".encode()
            async with Listener(answer) as outer:
                egress = Egress(allow_private=True)
                assert await egress.post(f"http://127.0.0.1:{outer.port}/", b"", {}, 2.0) == Answer(status)
                await egress.close()
        assert inner.connections == 0


@pytest.mark.parametrize(
    "host", ["2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518", "[::ffff:169.254.169.254]", "127.1"]
)
async def test_other_spellings_of_an_address_are_resolved_before_they_are_judged(host: str) -> None:
    egress = Egress()
    with pytest.raises((RefusedError, UnavailableError)):
        await egress.post(f"http://{host}:1/", b"", {}, 1.0)
    await egress.close()


async def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Listener() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        egress = Egress()
        with pytest.raises((RefusedError, UnavailableError)):
            await egress.post("http://169.254.169.254/latest/", b"", {}, 0.5)
        await egress.close()
    assert proxy.connections == 0
