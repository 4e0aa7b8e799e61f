"""The load generator: users with stable keys, arriving at random, and a line of what each of them got."""

import argparse
import asyncio
import json
import random
import signal
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TextIO

from .features import FEATURES, Feature

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]

USERS = 5_000
_PATIENCE_S = 10.0
_MOST_OPEN = 200
"""Connections; an arrival beyond them is counted as not sent: a generator that queues would flatter the shop."""


@dataclass(frozen=True)
class Response:
    """What one user got: the flag, the variant that served it, the status (0 without an answer), and the time."""

    ended: float
    flag: str
    user: str
    variant: str
    status: int
    seconds: float

    def line(self) -> str:
        """One JSON line."""
        return json.dumps([round(self.ended, 4), self.flag, self.user, self.variant, self.status, self.seconds])


def read_responses(path: Path) -> list[Response]:
    """Return what a generator has written so far; a line that is being written is left out."""
    if not path.exists():
        return []
    text = path.read_text()
    return [Response(*json.loads(line)) for line in text[: text.rfind("\n") + 1].splitlines()]


class Generator:
    """Open loop: arrivals do not wait for answers, as users do not wait for each other."""

    def __init__(self, ports: Sequence[int], chance: random.Random, out: TextIO) -> None:
        self._ports, self._chance, self._out = tuple(ports), chance, out
        self._idle: dict[int, deque[Connection]] = {port: deque() for port in ports}
        self._open: set[asyncio.Task[None]] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Send each feature's traffic until `stop`."""
        async with asyncio.TaskGroup() as group:
            for feature in FEATURES:
                group.create_task(self._arrivals(feature, group, stop))
        for _, writer in chain.from_iterable(self._idle.values()):
            writer.close()

    async def _arrivals(self, feature: Feature, group: asyncio.TaskGroup, stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while not stop.is_set():
            due += self._chance.expovariate(feature.rate)
            await asyncio.sleep(due - loop.time())
            number = self._chance.randrange(USERS)
            user, port = f"user-{number}", self._ports[number % len(self._ports)]
            if len(self._open) >= _MOST_OPEN:
                self._record(feature, user, "", 0, 0.0)
                continue
            task = group.create_task(self._visit(feature, user, port))
            self._open.add(task)
            task.add_done_callback(self._open.discard)

    async def _visit(self, feature: Feature, user: str, port: int) -> None:
        seconds = 0.0
        try:
            status, variant, seconds = await asyncio.wait_for(
                self._get(port, f"{feature.route}?user={user}"), _PATIENCE_S
            )
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError, IndexError):
            status, variant = 0, ""
        self._record(feature, user, variant, status, seconds)

    def _record(self, feature: Feature, user: str, variant: str, status: int, seconds: float) -> None:
        now = time.time()  # noqa: TID251 - a shell reads the clock
        self._out.write(Response(now, feature.flag, user, variant, status, seconds).line() + "\n")

    async def _get(self, port: int, path: str) -> tuple[int, str, float]:
        """Return status, variant and the seconds that the shop drew; its answers have no body, so their head is all."""
        idle = self._idle[port]
        reader, writer = idle.pop() if idle else await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: shop\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
        except BaseException:
            writer.close()
            raise
        idle.append((reader, writer))
        lines = head.decode("latin-1").split("\r\n")
        named = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
        return int(lines[0].split(" ")[1]), named.get("x-variant", ""), float(named.get("x-seconds", "0"))


async def _main(ports: Sequence[int], out: Path, seed: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with out.open("w", buffering=1) as lines:
        await Generator(ports, random.Random(seed), lines).run(stop)  # noqa: S311 - traffic, not secrets


def main() -> None:
    """Send traffic until SIGTERM."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--port", type=int, action="append", required=True, help="of a copy of the shop")
    options.add_argument("--out", type=Path, required=True, help="file for a JSON line a response")
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    asyncio.run(_main(given.port, given.out, given.seed))


if __name__ == "__main__":
    main()
