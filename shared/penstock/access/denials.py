"""Denied attempts: counted per address and per token, slowed down, and reported without flooding the log."""

import ipaddress
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from penstock.errors import TooManyAttemptsError, UnauthorizedError
from penstock.telemetry import Telemetry
from penstock.tokens import Identity, KnownTokens, digest_of

FREE_ATTEMPTS = 10
"""Wrong attempts before the first wait."""
LONGEST_WAIT = 60.0
_FORGET_SECONDS = 600.0
_REPORT_SECONDS = 10.0
_MOST_REMEMBERED = 10_000

K = TypeVar("K")
V = TypeVar("V")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Denial:
    """One report of denied attempts.

    Attributes:
        door: which server; address: of the client, an IPv6 one as its /64.
        hint: the identity that lacked a role, or the first digits of an unknown token's SHA-256.
        reason: `unknown_token`, `too_many_attempts` or `forbidden`; attempts: since the last report of this address.
    """

    door: str
    address: str
    hint: str
    reason: str
    attempts: int


Report = Callable[[Denial], None]


@dataclass
class _Count:
    wrong: int = 0
    last: float = 0.0
    until: float = 0.0
    unreported: int = 0
    reported: float = field(default=-math.inf)


class Denials:
    """Counts denied attempts at one door.

    Args:
        report: is called at once for the first denial of an address, then every ten seconds at most.
        clock: seconds that only grow.
    """

    def __init__(self, door: str, report: Report, clock: Callable[[], float] = time.monotonic) -> None:
        self._door, self._report, self._clock = door, report, clock
        self._counts: OrderedDict[str, _Count] = OrderedDict()
        self._welcome: OrderedDict[tuple[str, str], None] = OrderedDict()

    def check(self, address: str, digest: str) -> None:
        """Refuse to look at a token while its address or itself must wait; one that was right from here passes.

        Raises:
            TooManyAttemptsError: says how long to wait.
        """
        network = network_of(address)
        if (network, digest) in self._welcome:
            return
        now = self._clock()
        counts = (self._counts.get(key) for key in (network, digest))
        wait = max((count.until - now for count in counts if count is not None), default=0.0)
        if wait > 0:
            self._deny(network, f"token {digest[:8]}", "too_many_attempts")
            raise TooManyAttemptsError(max(1, math.ceil(wait)))

    def accepted(self, address: str, digest: str) -> None:
        """Remember that this token was right from this address: an attacker behind it locks nobody out."""
        _remember(self._welcome, (network_of(address), digest), None)

    def wrong(self, address: str, digest: str) -> None:
        """Count an attempt with an unknown token."""
        network, now = network_of(address), self._clock()
        self._welcome.pop((network, digest), None)
        for key in (network, digest):
            count = self._count(key, now)
            count.wrong += 1
            count.last = now
            if count.wrong > FREE_ATTEMPTS:
                count.until = now + min(LONGEST_WAIT, 2.0 ** min(count.wrong - FREE_ATTEMPTS - 1, 10))
        self._deny(network, f"token {digest[:8]}", "unknown_token")

    def forbidden(self, address: str, who: str) -> None:
        """Report an identity that lacked a role; it is known, so it is not slowed down."""
        self._deny(network_of(address), who, "forbidden")

    def _deny(self, network: str, hint: str, reason: str) -> None:
        now = self._clock()
        count = self._count(network, now)
        count.unreported += 1
        if now - count.reported >= _REPORT_SECONDS:
            self._report(Denial(self._door, network, hint, reason, count.unreported))
            count.reported, count.unreported = now, 0

    def _count(self, key: str, now: float) -> _Count:
        count = self._counts.pop(key, None)
        if count is None or (now - count.last > _FORGET_SECONDS and now - count.reported > _FORGET_SECONDS):
            count = _Count(last=now)
        _remember(self._counts, key, count)
        return count


def _remember(kept: OrderedDict[K, V], key: K, value: V) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > _MOST_REMEMBERED:
        kept.popitem(last=False)


def network_of(address: str) -> str:
    """Return what is counted as one client: an IPv4 address, or the /64 of an IPv6 one."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64] or "unknown"
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)


class Authenticator:
    """Identifies clients of one door by their bearer token, and slows down those who guess."""

    def __init__(self, known: KnownTokens, denials: Denials) -> None:
        self.known, self._denials = known, denials

    def identify(self, authorization: str | None, address: str) -> Identity:
        """Return whose bearer token the header carries.

        Raises:
            UnauthorizedError: no token, or none that is known.
            TooManyAttemptsError: too many wrong ones from this address, or of this token.
        """
        _, _, token = (authorization or "").partition(" ")
        digest = digest_of(token.strip())
        if token.strip():
            self._denials.check(address, digest)
        try:
            who = self.known.identify(authorization)
        except UnauthorizedError:
            if token.strip():
                self._denials.wrong(address, digest)
            raise
        self._denials.accepted(address, digest)
        return who

    def forbidden(self, who: Identity, address: str) -> None:
        """Report that a known identity asked for what it may not do."""
        self._denials.forbidden(address, who.identity)


def reporter(telemetry: Telemetry) -> Report:
    """Return what writes reports into the log, and counts them as `penstock.access.denied` to alert on."""

    def report(denial: Denial) -> None:
        to_log(denial)
        telemetry.count("access.denied", denial.attempts, {"door": denial.door, "reason": denial.reason})

    return report


def to_log(denial: Denial) -> None:
    """Write a report into the log as `access.denied`; values are quoted, for an attacker chooses some."""
    log.warning(
        "access.denied door=%s address=%s hint=%r reason=%s attempts=%d",
        denial.door,
        denial.address,
        denial.hint,
        denial.reason,
        denial.attempts,
    )
