"""The way out: which addresses webhooks may reach, and that nothing leads elsewhere; the network is this process."""

import asyncio
import ipaddress
import shutil
import ssl
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from penstock.egress import Answer, Egress, is_allowed
from penstock.errors import RefusedError, UnavailableError

PUBLIC = ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "64:ff9b::5db8:d822"]
PRIVATE = ["10.0.0.1", "172.16.3.4", "192.168.1.1", "100.64.0.1", "127.0.0.1", "127.9.9.9", "::1", "fd12::1"]
NEVER = [
    "169.254.169.254",
    "fe80::1",
    "fd00:ec2::254",
    "0.0.0.0",
    "::",
    "224.0.0.1",
    "ff02::1",
    "255.255.255.255",
    "240.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
]
DISGUISED = ["::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "::127.0.0.1"]


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses_are_allowed(text: str) -> None:
    assert is_allowed(ipaddress.ip_address(text), allow_private=False)


@pytest.mark.parametrize("text", [*PRIVATE, *DISGUISED])
def test_addresses_of_our_own_network_need_the_setting(text: str) -> None:
    assert not is_allowed(ipaddress.ip_address(text), allow_private=False)
    assert is_allowed(ipaddress.ip_address(text), allow_private=True)


@pytest.mark.parametrize("text", NEVER)
def test_metadata_link_local_multicast_and_reserved_addresses_are_never_allowed(text: str) -> None:
    assert not is_allowed(ipaddress.ip_address(text), allow_private=False)
    assert not is_allowed(ipaddress.ip_address(text), allow_private=True)


def names(**table: list[str]) -> Callable[[str, int], Awaitable[list[str]]]:
    async def resolve(host: str, port: int) -> list[str]:
        if host not in table:
            raise OSError(f"{host}:{port}")
        return table[host]

    return resolve


class Server:
    """A server on 127.0.0.1 that gives every request one answer (none: it is silent) and keeps what it heard."""

    def __init__(
        self, answer: bytes | None = b"HTTP/1.1 204 No Content\r\n\r\n", tls: ssl.SSLContext | None = None
    ) -> None:
        self.answer = answer
        self._tls = tls
        self.heard: list[bytes] = []
        self.port = 0
        self._served: list[asyncio.Task[None] | None] = []

    async def __aenter__(self) -> "Server":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await asyncio.gather(*(task for task in self._served if task))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._served.append(asyncio.current_task())
        head = await reader.readuntil(b"\r\n\r\n")
        size = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
        self.heard.append(head + await reader.readexactly(size))
        if self.answer is None:
            await reader.read()
        else:
            writer.write(self.answer)
        writer.close()
        await writer.wait_closed()


async def post(egress: Egress, url: str, seconds: float = 5.0) -> Answer:
    try:
        return await egress.post(url, b"body", {"webhook-id": "1"}, seconds)
    finally:
        await egress.close()


async def test_a_post_goes_to_the_address_that_was_looked_at_under_its_own_name() -> None:
    async with Server() as server:
        egress = Egress(allow_private=True, resolve=names(**{"hooks.example": ["127.0.0.1"]}))
        answer = await post(egress, f"http://hooks.example:{server.port}/a?b=c")
    assert answer == Answer(204)
    assert answer.accepted
    [heard] = server.heard
    assert heard.startswith(b"POST /a?b=c HTTP/1.1\r\n")
    assert f"\r\nhost: hooks.example:{server.port}\r\n".encode() in heard.lower()
    assert heard.endswith(b"\r\n\r\nbody")


async def test_an_address_that_does_not_answer_is_followed_by_the_names_next_one() -> None:
    async with Server() as server:
        egress = Egress(allow_private=True, resolve=names(localhost=["::1", "127.0.0.1"]))
        assert (await post(egress, f"http://localhost:{server.port}/")).accepted


async def test_a_name_of_which_one_address_is_forbidden_is_refused_whole() -> None:
    async with Server() as server:
        egress = Egress(resolve=names(**{"hooks.example": ["93.184.216.34", "127.0.0.1"]}))
        with pytest.raises(RefusedError, match=r"hooks\.example leads to an address"):
            await post(egress, f"http://hooks.example:{server.port}/")
    assert server.heard == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f.1"])
async def test_loopback_is_refused_however_it_is_written(host: str) -> None:
    async with Server() as server:
        with pytest.raises((RefusedError, UnavailableError)):
            await post(Egress(), f"http://{host}:{server.port}/")
    assert server.heard == []


@pytest.mark.parametrize("name", ["a" * 300, "a..b", "xn--\u00fc", "["])
async def test_a_name_that_cannot_be_one_is_an_error_like_any_other(name: str) -> None:
    with pytest.raises((RefusedError, UnavailableError)):
        await post(Egress(), f"http://{name}/")


async def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    async with Server() as other, Server() as server:
        server.answer = f"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:{other.port}/\r\n\r\n".encode()
        answer = await post(Egress(allow_private=True), f"http://127.0.0.1:{server.port}/")
    assert answer == Answer(302)
    assert not answer.accepted
    assert other.heard == []


async def test_a_server_that_never_answers_is_given_up_after_the_time_allowed() -> None:
    async with Server(answer=None) as server:
        with pytest.raises(UnavailableError, match=r"127\.0\.0\.1 did not answer within 0\.2 s"):
            await post(Egress(allow_private=True), f"http://127.0.0.1:{server.port}/secret-path", 0.2)
        assert len(server.heard) == 1


async def test_errors_name_the_host_but_never_the_path() -> None:
    for url in ("http://nowhere.example/secret-path", "http://127.0.0.1:1/secret-path"):
        with pytest.raises(UnavailableError) as caught:
            await post(Egress(allow_private=True, resolve=names(**{"127.0.0.1": ["127.0.0.1"]})), url)
        assert "secret-path" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://hooks.example/",
        "ftp://hooks.example:80/",
        "http://user:password@hooks.example/",
        "hooks.example",
        "http:///x",
        "http://hooks.example:99999/",
        "http://hooks.example:port/",
        "http://\x00/",
        "",
    ],
)
async def test_other_forms_of_address_are_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(RefusedError) as caught:
        await post(Egress(allow_private=True), url)
    assert "password@" not in str(caught.value)


def certificate_of(name: str, folder: Path) -> tuple[Path, Path]:
    """Make a self-signed certificate of a name; return it and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl here to make a certificate with")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    options = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    names = ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
    command = [openssl, "req", *options, *names, "-out", str(certificate), "-keyout", str(key)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


async def test_over_tls_the_certificate_must_be_the_names_although_the_address_is_pinned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = certificate_of("hooks.example", tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    resolve = names(**{"hooks.example": ["127.0.0.1"], "other.example": ["127.0.0.1"]})
    async with Server(tls=tls) as server:
        answer = await post(Egress(allow_private=True, resolve=resolve), f"https://hooks.example:{server.port}/")
        assert answer.accepted
        with pytest.raises(UnavailableError):
            await post(Egress(allow_private=True, resolve=resolve), f"https://other.example:{server.port}/")
    assert len(server.heard) == 1
