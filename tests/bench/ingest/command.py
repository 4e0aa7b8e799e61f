"""`penstock bench ingest`: points taken in by the HTTP door and counted in windows, beside the bare Kafka client."""

import asyncio
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Annotated

import typer
from rich.console import Group

from penstock.cli.exits import Exits
from penstock.cli.output import Json, Output, Quiet, table
from penstock.local.ports import free_ports, is_open
from penstock.local.processes import Child
from penstock.settings import Settings
from penstock.tokens import digest_of
from tests.bench.ground import Ground, ground, wait_until
from tests.bench.ingest.intake import Closed, Taken, counted, cpu_seconds, post, produce, register, watched

app = typer.Typer(help="Points taken in and counted in windows, beside the bare client.")

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
    with ground(out) as on:
        asyncio.run(register(on.settings))
        token = secrets.token_urlsafe(24)
        with _service(on, token) as (port, service):
            out.progress(f"posting {connections * rounds} exports of {points} points")
            door, load = (port, token, service.pid), (connections, rounds, points)
            found = asyncio.run(_measure(on.settings, on.cluster, door, load))
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
def _service(on: Ground, token: str) -> Iterator[tuple[int, Child]]:
    (port,) = free_ports(1)
    tokens = on.folder / "tokens.yaml"
    tokens.write_text(f"tokens: [{{sha256: {digest_of(token)}, identity: bench, roles: [metrics]}}]\n")
    service = on.child("metric_ingestion", sys.executable, "-P", "-m", "services", "metric_ingestion")
    try:
        service.start(on.environment(OTLP_PORT=port, TOKENS=tokens))
        wait_until(lambda: is_open(port), service)
        yield port, service
    finally:
        service.kill()
