"""Ports: free ones where nobody needs to know the number, a clear error for a fixed one that is taken."""

import contextlib
import errno
import secrets
import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from penstock.errors import UnavailableError
from penstock.local import interrupts

FAR_S = 3.0
"""For servers of somebody's own, which may be behind a VPN."""


_LOWEST = 10_000
_OUTGOING = 32_768
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Return different ports that nobody listens on at this moment.

    They lie outside the range that outgoing connections get theirs from, as long as there are any: a server that is
    started again on its port would find a client's connection there now and then.
    """
    below = range(_LOWEST, _first_outgoing())
    # Two programs that look at the same time should not find the same.
    begin = secrets.randbelow(len(below)) if below else 0
    with contextlib.ExitStack() as held:
        found: list[int] = []
        for port in (*below[begin:], *below[:begin], *[0] * count):
            if len(found) == count:
                break
            probe = held.enter_context(socket.socket())
            if _bound(probe, host, port):
                found.append(int(probe.getsockname()[1]))
        return found


def _first_outgoing() -> int:
    try:
        return max(_LOWEST, int(_RANGE.read_text().split()[0]))
    except (OSError, ValueError, IndexError):
        return _OUTGOING


def _bound(probe: socket.socket, host: str, port: int) -> bool:
    try:
        probe.bind((host, port))
    except OSError:
        return False
    return True


def is_open(port: int, host: str = "127.0.0.1", patience: float = 0.2) -> bool:
    """Return whether somebody accepts connections there, by IPv4 or IPv6, within `patience` seconds an address."""
    try:
        with socket.create_connection((host, port), patience):
            return True
    except OSError:
        return False


def require_free(port: int, what: str, remedy: str, host: str = "127.0.0.1") -> None:
    """Do nothing if the port can be listened on; 0 always can.

    Raises:
        UnavailableError: it is taken, or this user may not listen there; names `what` and `remedy`.
    """
    with socket.socket() as probe:
        # As servers do: a port in TIME_WAIT after a restart is not taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                reason = "is taken by another program"
            else:
                reason = f"cannot be listened on ({error.strerror})"
            raise UnavailableError(f"port {host}:{port}, wanted for {what}, {reason}; {remedy}") from None


def require_open(addresses: Iterable[str], variable: str) -> None:
    """Do nothing if somebody listens on one of the addresses (`host:port`).

    Raises:
        UnavailableError: nobody does; names the variable that they come from.
    """
    given = list(addresses)
    for address in given:
        host, _, port = address.rpartition(":")
        if port.isdigit() and is_open(int(port), host.strip("[]"), FAR_S):
            return
    raise UnavailableError(
        f"nobody listens on {', '.join(given)} ({variable}): start it or correct the variable, or unset it for a "
        "local server"
    )


def wait_open(port: int, deadline: float, alive: Callable[[], bool], host: str = "127.0.0.1") -> bool:
    """Return True once somebody listens, False when `deadline` (time.monotonic) has passed or `alive` says no."""
    while time.monotonic() < deadline and alive():
        interrupts.check()
        if is_open(port, host):
            return True
        time.sleep(0.02)
    return False
