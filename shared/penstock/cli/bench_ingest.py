"""`penstock bench ingest`: points taken in by the HTTP door and counted in windows, beside the bare Kafka client."""

import asyncio
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group

from penstock.errors import NotFoundError, UnavailableError
from penstock.local.ports import free_ports, is_open
from penstock.local.processes import Child, Watchdog
from penstock.local.state import tree_root
from penstock.settings import Settings
from penstock.tokens import digest_of

from .bench_intake import Closed, Taken, counted, cpu_seconds, post, produce, register, watched
from .bench_pipeline import broker
from .bench_probe import prepare, remove
from .exits import Exits
from .output import Json, Output, Quiet, table

app = typer.Typer(help="Points taken in and counted in windows, beside the bare client.")

_READY_S = 60.0
_EVENTS = 10
"""Requests that each point tells."""


@dataclass(frozen=True)
class IngestBench:
    """What was posted, what the service needed for it, and what its windows told.

    Attributes:
        door, bare: histogram points a second through the door, and of the same bytes by the bare producer.
        cpu_seconds: processor time of the service from the first request until its windows told everything.
        sent: requests that the points told; closed: what the windows told of them.
    """

    door: Taken
    bare: Taken
    cpu_seconds: float
    sent: int
    closed: Closed

    @property
    def exact(self) -> bool:
        """Whether the windows tell exactly what was sent."""
        return self.closed.counted == self.sent

    @property
    def per_cpu_second(self) -> float:
        """Points for each second of processor time, from the body's bytes to the closed window."""
        return self.door.points / self.cpu_seconds if self.cpu_seconds else 0.0


@app.command()
def ingest(
    connections: Annotated[int, typer.Option(min=1, max=64, help="Posting at once.")] = 4,
    rounds: Annotated[int, typer.Option(min=10, help="Exports of each connection.")] = 150,
    points: Annotated[int, typer.Option(min=1, max=4000, help="Histogram points of an export.")] = 200,
    check: Annotated[bool, typer.Option("--check", help="Exit 1 when the windows do not tell what was sent.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure the way in: HTTP door, Kafka, windows. Uses the broker that `bench pipeline` would use."""
    out = Output(json, quiet=quiet)
    root = tree_root()
    if root is None:
        raise NotFoundError("the services are not installed here: run this from a clone of Penstock")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="penstock-bench-")))
        watchdog = Watchdog()
        stack.callback(watchdog.close)
        where = stack.enter_context(broker(folder, watchdog, out)).model_copy(
            update={"topic_prefix": f"bench-{secrets.token_hex(3)}.", "state": folder}
        )
        cluster = asyncio.run(prepare(where))
        stack.callback(lambda: asyncio.run(remove(where)))
        asyncio.run(register(where))
        token = secrets.token_urlsafe(24)
        port, service = stack.enter_context(_service(where, token, root, folder, watchdog))
        out.progress(f"posting {connections * rounds} exports of {points} points")
        found = asyncio.run(_measure(where, cluster, (port, token, service.pid), (connections, rounds, points)))
    document = {**asdict(found), "exact": found.exact, "per_cpu_second": found.per_cpu_second}
    out.result(document, lambda: _text(found))
    if check and not found.exact:
        raise typer.Exit(Exits.INTERNAL)


async def _measure(
    where: Settings, cluster: str, door: tuple[int, str, int], load: tuple[int, int, int]
) -> IngestBench:
    port, token, pid = door
    connections, rounds, points = load
    await watched(where, cluster)
    # The first exports pay for imports, connections and caches.
    warm = await post(port, token, connections, 10, points)
    before = cpu_seconds([pid])
    taken = await post(port, token, connections, rounds, points)
    sent = (warm.points + taken.points) * _EVENTS
    closed = await counted(where, cluster, sent)
    used = cpu_seconds([pid]) - before
    return IngestBench(taken, await produce(where, connections, rounds, points), used, sent, closed)


def _text(found: IngestBench) -> Group:
    rows = [
        (name, f"{one.rate:,.0f}", *(f"{value:.1f}" for value in (one.requests.p50, one.requests.p99)))
        for name, one in (("penstock, HTTP to frames", found.door), ("bare producer, same bytes", found.bare))
    ]
    delays = found.closed.windows
    told = "all of them" if found.exact else f"{found.closed.counted:,}: NOT what was sent"
    return Group(
        f"{found.door.points:,} histogram points telling {found.sent:,} requests; the windows tell {told}",
        table(["", "POINTS/S", "REQUEST P50 MS", "P99 MS"], rows),
        f"{found.per_cpu_second:,.0f} points a second of processor time, from the body to the closed window",
        f"a window stands in the log {delays.p50:.0f} ms after its end, p99 {delays.p99:.0f} ({delays.count} windows)",
    )


@contextmanager
def _service(where: Settings, token: str, root: Path, folder: Path, watchdog: Watchdog) -> Iterator[tuple[int, Child]]:
    (port,) = free_ports(1)
    tokens = folder / "tokens.yaml"
    tokens.write_text(f"tokens: [{{sha256: {digest_of(token)}, identity: bench, roles: [publisher]}}]\n")
    ours = {
        "KAFKA": where.kafka,
        "TOPIC_PREFIX": where.topic_prefix,
        "STATE": str(folder),
        "OTLP_PORT": str(port),
        "TOKENS": str(tokens),
        "LOG_LEVEL": "WARNING",
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
    security = {name: value for name, value in os.environ.items() if name.startswith("PENSTOCK_KAFKA_")}
    environment = {**kept, **security, **{f"PENSTOCK_{n}": v for n, v in ours.items()}, "PYTHONPATH": str(root)}
    command = (sys.executable, "-P", "-m", "services", "metric_ingestion")
    service = Child("metric_ingestion", command, folder / "ingestion.log", watchdog)
    try:
        service.start(environment)
        deadline = time.monotonic() + _READY_S
        while not is_open(port):
            if not service.alive or time.monotonic() > deadline:
                raise UnavailableError(f"metric ingestion does not start; it said:\n{service.last_words()}")
            time.sleep(0.05)
        yield port, service
    finally:
        service.kill()
