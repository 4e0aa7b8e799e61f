"""The measurement: every server in a process of its own, one core for it and one for what asks."""

import asyncio
import os
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from services.flag_control.serving.ofrep import BULK
from tests.bench.flags.child import Server
from tests.bench.flags.load import rate
from tests.bench.flags.sample import RAMP, TEAM
from tests.bench.flags.streams import Clients, raw

REAL = 10
"""Real in-process clients among the streams that a push is measured to."""
_SET = 16
_LARGE_SET = 1000


@dataclass(frozen=True)
class Figures:
    """Rates in answers or evaluations per second, times in seconds, memory in bytes.

    Attributes:
        echo, single: answers per second of one core by the echo and by OFREP, the best of each in turns.
        ramp: the same for a flag whose users are split by percentage, which costs the evaluator more.
        bulk: flag evaluations per second of one core over bulk requests.
        clients_p50, clients_p99: push until a stream, or a real in-process client among them, has it.
        raw_last: push until the last raw stream has it, the median of the pushes.
        large_p50: push of the large set until one client has it.
    """

    echo: float
    single: float
    ramp: float
    bulk: float
    clients: int
    clients_p50: float
    clients_p99: float
    streams: int
    raw_last: float
    large_flags: int
    large_p50: float
    rss: int


def measure(say: Callable[[str], None], *, seconds: float, turns: int, clients: int, streams: int) -> Figures:
    """Take every figure.

    Args:
        say: told what is being measured.
        seconds: of load in each turn; turns: of the echo and of OFREP, one after the other.
        clients: streams of which some are real in-process clients; streams: raw streams.
    """
    say("OFREP beside an echo on the same server")
    with _apart():
        rates = _rates(seconds, turns)
    say(f"push to {clients} streams, {min(REAL, clients)} of them real in-process clients")
    times = _to_clients(clients, pushes=30)
    say(f"push to {streams} raw streams")
    with Server("flags", 3) as server:
        last = asyncio.run(raw(server, streams, pushes=10))
        # Read while the streams' buffers are as they were: the process has not given memory back.
        rss = server.rss()
    say(f"push of {_LARGE_SET} flags")
    with Server("flags", _LARGE_SET) as server:
        large = asyncio.run(raw(server, 1, pushes=15))
    return Figures(
        echo=rates["echo"],
        single=rates["single"],
        ramp=rates["ramp"],
        bulk=rates["bulk"],
        clients=clients,
        clients_p50=statistics.median(times),
        clients_p99=statistics.quantiles(times, n=100)[98],
        streams=streams,
        raw_last=statistics.median(last),
        large_flags=_LARGE_SET,
        large_p50=statistics.median(large),
        rss=rss,
    )


def _rates(seconds: float, turns: int) -> dict[str, float]:
    best: dict[str, float] = {}
    with Server("echo", 1) as bare, Server("flags", _SET) as flags:
        _step_aside()
        asked = {
            "echo": (bare, f"{BULK}/{TEAM}", 1),
            "single": (flags, f"{BULK}/{TEAM}", 1),
            "ramp": (flags, f"{BULK}/{RAMP}", 1),
            "bulk": (flags, BULK, _SET + 1),
        }
        for _ in range(turns):
            for name, (server, path, evaluations) in asked.items():
                best[name] = max(best.get(name, 0.0), rate(server, path, seconds) * evaluations)
    return best


def _to_clients(clients: int, pushes: int) -> list[float]:
    with Server("flags", _SET) as server:
        followers = Clients(server, min(REAL, clients), clients)
        try:
            return [seconds for version in range(2, pushes + 2) for seconds in followers.push(version)]
        finally:
            followers.close()


@contextmanager
def _apart() -> Iterator[None]:
    """Give the servers that are started in the block the first core, and this process the others."""
    if not hasattr(os, "sched_setaffinity") or len(cores := sorted(os.sched_getaffinity(0))) < 2:
        yield
        return
    os.sched_setaffinity(0, cores[:1])
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def _step_aside() -> None:
    """Leave the first core to the servers."""
    if hasattr(os, "sched_setaffinity"):
        everything = set(range(os.cpu_count() or 1))
        os.sched_setaffinity(0, everything - {min(everything)} or everything)
