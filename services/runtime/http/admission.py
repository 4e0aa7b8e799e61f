"""Which connections a door accepts, and which it lets go: counted in total and by address, swept for slow clients."""

import asyncio
import ipaddress
from collections import Counter
from typing import Protocol

from services.runtime.http.limits import Limits
from services.runtime.http.refusals import Refusal, full, full_for_address


class Connection(Protocol):
    """What the admission needs of a connection."""

    def check(self, now: float) -> None:
        """Let go of a client that is too slow at `now` (seconds of the loop's clock)."""

    def drop(self) -> None:
        """Disconnect at once."""


class Admission:
    """The connections of one server. Beyond the limits a small reserve remains, whose oldest makes room for the next.

    Args:
        limits: of the door.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._most = limits.most_connections()
        self._most_each = min(limits.per_address, self._most)
        self._addresses: dict[Connection, str] = {}
        self._by_address: Counter[str] = Counter()
        self._reserve: dict[Connection, None] = {}
        self._sweep: asyncio.TimerHandle | None = None

    def admit(self, connection: Connection, address: str) -> Refusal | None:
        """Count a new connection; return why it may ask for nothing but health, None where it may ask anything."""
        self._keep_sweeping()
        address = _network(address)
        refusal = None
        if len(self._addresses) >= self._most:
            refusal = full(self._most)
        elif self._by_address[address] >= self._most_each:
            refusal = full_for_address(self._most_each)
        if refusal is None:
            self._addresses[connection] = address
            self._by_address[address] += 1
            return None
        if len(self._reserve) >= self.limits.reserve:
            oldest = next(iter(self._reserve))
            del self._reserve[oldest]
            oldest.drop()
        self._reserve[connection] = None
        return refusal

    def release(self, connection: Connection) -> None:
        """Forget a connection that has ended."""
        self._reserve.pop(connection, None)
        address = self._addresses.pop(connection, None)
        if address is not None:
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]

    def _keep_sweeping(self) -> None:
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(self.limits.request_seconds / 4, self._check_all)

    def _check_all(self) -> None:
        self._sweep = None
        now = asyncio.get_running_loop().time()
        for connection in [*self._addresses, *self._reserve]:
            connection.check(now)
        if self._addresses or self._reserve:
            self._keep_sweeping()


def _network(address: str) -> str:
    # Who has one IPv6 address has 2^64 of them.
    if ":" not in address or address.startswith("::ffff:"):
        return address
    try:
        return str(ipaddress.ip_network((address.partition("%")[0], 64), strict=False))
    except ValueError:
        return address
