"""Sends webhooks, and only to addresses that are allowed: names are resolved once, and redirects are not followed."""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import certifi
import httpx

from penstock.errors import RefusedError, UnavailableError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[list[str]]]
"""(host, port) -> its addresses, in the order to try them."""

_NEVER = tuple(
    map(
        ipaddress.ip_network,
        (
            "169.254.0.0/16",  # link-local: metadata of AWS, Google, Azure, DigitalOcean, IBM, OpenStack, Tencent
            "168.63.129.16/32",  # Azure's host agent, in public address space
            "100.100.100.200/32",  # Alibaba Cloud, in the carriers' shared space
            "192.0.0.0/24",  # protocol assignments, 192.0.0.192 being Oracle Cloud's metadata
            "192.88.99.0/24",  # relays of 6to4
            "fd00:ec2::/32",  # AWS: metadata (::254), pod identity (::23), name and time servers
            "fd20:ce::/32",  # Google Cloud
            "fd00:c1::/32",  # Oracle Cloud
            "fd00:42::/32",  # Scaleway
            "fec0::/10",  # site-local, deprecated: still routed by old equipment
            "64:ff9b:1::/48",  # local NAT64: which IPv4 address is embedded depends on the network
            "100::/64",  # discarded
        ),
    )
)
"""Never allowed, whatever the settings: cloud metadata and host agents hand out credentials."""
_EMBEDDED = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "::/96", "::ffff:0:0:0/96")))
"""Networks whose last 32 bits are an IPv4 address: NAT64, IPv4-compatible, IPv4-translated."""
_ISATAP = frozenset({0x00005EFE, 0x02005EFE})
_CONNECT_SECONDS = 5.0
_HIGHEST_PORT = 65535
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Answer:
    """The HTTP status of an answer; its body is never read."""

    status: int

    @property
    def accepted(self) -> bool:
        """Whether it is 2xx."""
        return 200 <= self.status < 300


class Egress:
    """Posts to addresses that are allowed.

    Args:
        allow_private: private and loopback addresses may be posted to as well; link-local (cloud metadata), multicast
            and reserved ones never.
        resolve: how names become addresses.
    """

    def __init__(self, allow_private: bool = False, resolve: Resolve | None = None) -> None:
        self._allow_private = allow_private
        self._resolve = resolve or _resolve
        # Proxies from the environment would connect for us, to any address that the name then has.
        self._client = httpx.AsyncClient(
            trust_env=False,
            follow_redirects=False,
            limits=httpx.Limits(max_keepalive_connections=0),
            verify=_trust_context(),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], seconds: float) -> Answer:
        """POST once and return the answer, a redirect included, within `seconds`.

        Errors name the host at most: an address's path may hold a secret.

        Raises:
            RefusedError: the address is not allowed.
            UnavailableError: no answer.
        """
        target = _parse_url(url)
        try:
            async with asyncio.timeout(seconds):
                addresses = await self._addresses(target)
                return await self._post(target, addresses, body, headers)
        except TimeoutError:
            raise UnavailableError(f"{target.host} did not answer within {seconds:g} s") from None

    async def _addresses(self, url: httpx.URL) -> list[Address]:
        try:
            found = await self._resolve(url.host, url.port or _PORTS[url.scheme])
        except (OSError, UnicodeError):
            raise UnavailableError(f"the name {url.host} does not resolve") from None
        addresses = [ipaddress.ip_address(text.partition("%")[0]) for text in found]
        if not addresses:
            raise UnavailableError(f"the name {url.host} does not resolve")
        for address in addresses:
            # A hostile name server could hide one bad address among good ones.
            if not is_allowed(address, self._allow_private):
                raise RefusedError(
                    f"{url.host} leads to an address that webhooks must not reach (private, loopback, link-local or "
                    "reserved); for local use, PENSTOCK_ALLOW_PRIVATE_WEBHOOKS=true allows private and loopback ones"
                )
        return addresses

    async def _post(self, url: httpx.URL, addresses: list[Address], body: bytes, headers: Mapping[str, str]) -> Answer:
        for address in addresses:
            try:
                return await self._post_to(url, address, body, headers)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
            except httpx.HTTPError as error:
                raise UnavailableError(f"{url.host} did not answer: {type(error).__name__}") from None
        raise UnavailableError(f"{url.host} cannot be connected to")

    async def _post_to(self, url: httpx.URL, address: Address, body: bytes, headers: Mapping[str, str]) -> Answer:
        request = self._client.build_request(
            "POST",
            url.copy_with(host=str(address)),
            content=body,
            headers={**headers, "host": url.netloc.decode("ascii"), "user-agent": "penstock"},
            timeout=httpx.Timeout(None, connect=_CONNECT_SECONDS),
            # The certificate must be the name's, although the connection goes to the address that was looked at.
            extensions={"sni_hostname": url.raw_host.decode("ascii")},
        )
        response = await self._client.send(request, stream=True)
        await response.aclose()
        return Answer(response.status_code)


def is_allowed(address: Address, allow_private: bool) -> bool:
    """Whether webhooks may go to this address; addresses that carry IPv4 ones are judged by those."""
    if any(address.version == network.version and address in network for network in _NEVER):
        return False
    if isinstance(address, ipaddress.IPv6Address) and (inner := _embedded_addresses(address)):
        return all(is_allowed(one, allow_private) for one in inner)
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        return False
    if address.is_loopback:
        return allow_private
    if address.is_reserved:
        return False
    return address.is_global or allow_private


def host_and_port(url: str) -> tuple[str, int]:
    """Return the host, in lower case, and the port that a post to this address goes to.

    Raises:
        RefusedError: no webhook address.
    """
    target = _parse_url(url)
    return target.raw_host.decode("ascii").lower(), target.port or _PORTS[target.scheme]


def _parse_url(url: str) -> httpx.URL:
    try:
        target = httpx.URL(url)
    except httpx.InvalidURL:
        target = httpx.URL("")
    fits = target.port is None or 0 < target.port <= _HIGHEST_PORT
    if target.scheme not in _PORTS or not target.host or not fits or target.userinfo:
        raise RefusedError("a webhook address is http(s)://host[:port]/path, without user and password")
    return target


def _trust_context() -> ssl.SSLContext:
    # The system's authorities (SSL_CERT_FILE among them) and the public ones, for slim images have no store.
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def _embedded_addresses(address: ipaddress.IPv6Address) -> tuple[ipaddress.IPv4Address, ...]:
    """Return the IPv4 addresses that packets to this one may end at."""
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    if address.sixtofour is not None:
        return (address.sixtofour,)
    if address.teredo is not None:
        return address.teredo
    last = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address not in {ipaddress.IPv6Address("::1"), ipaddress.IPv6Address("::")} and any(
        address in network for network in _EMBEDDED
    ):
        return (last,)
    if int(address) >> 32 & 0xFFFFFFFF in _ISATAP:
        return (last,)
    return ()


async def _resolve(host: str, port: int) -> list[str]:
    loop = asyncio.get_running_loop()
    found: list[Any] = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]
