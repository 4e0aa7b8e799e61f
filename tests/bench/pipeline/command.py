"""`penstock bench pipeline`: window closed to flag changed, on a real broker, beside a bare aiokafka chain."""

import asyncio
import http
import http.client
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Annotated

import typer
from rich.console import Group

from penstock.cli.exits import Exits
from penstock.cli.output import Json, Output, Quiet, table
from penstock.local.ports import free_ports
from tests.bench.ground import Ground, ground, wait_until
from tests.bench.pipeline.probe import Lane, Latencies, measure
from tests.bench.pipeline.relay import HOPS

app = typer.Typer(help="Window closed to flag changed, beside a bare chain.")

MOST_MS = 50.0
MOST_RATIO = 3.0
_SERVICES = ("gate_evaluation", "rollout_control", "flag_control")


@dataclass(frozen=True)
class PipelineBench:
    """Milliseconds from a window's record being sent to the flag's being seen, and the same for records passed on.

    Attributes:
        hops: appends on the way, in both chains; transitions, bare_records: how many were measured.
        warm_up: records sent before, in all.
    """

    hops: int
    transitions: int
    bare_records: int
    warm_up: int
    ours: Latencies
    bare: Latencies

    @property
    def ratio(self) -> float:
        """The 99th percentile beside the bare chain's."""
        return self.ours.p99 / self.bare.p99

    @property
    def within(self) -> bool:
        """Whether both goals are met."""
        return self.ours.p99 < MOST_MS and self.ratio <= MOST_RATIO


@app.command()
def pipeline(
    transitions: Annotated[int, typer.Option(min=100, help="Transitions to measure.")] = 2000,
    warm_up: Annotated[int, typer.Option(min=0, help="Records through the broker before anything counts.")] = 5000,
    check: Annotated[bool, typer.Option("--check", help="Exit 1 when a goal is missed.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure window closed to flag changed: p50 and p99 over stage transitions, one after the other.

    Uses the broker of PENSTOCK_KAFKA or of the running local stack, below a topic prefix of its own that it deletes;
    without one it starts a broker for itself.
    """
    out = Output(json, quiet=quiet)
    with ground(out) as on, _children(on):
        ours, bare = asyncio.run(measure(on.settings, on.cluster, transitions, warm_up, out.progress))
    found = PipelineBench(HOPS, ours.count, bare.count, warm_up, ours, bare)
    document = {**asdict(found), "ratio": found.ratio, "within": found.within}
    out.result(document, lambda: _text(found))
    if check and not found.within:
        raise typer.Exit(Exits.INTERNAL)


def _text(found: PipelineBench) -> Group:
    rows = [
        (name, str(one.count), *(f"{value:.1f}" for value in (one.p50, one.p99, one.worst)))
        for name, one in ((Lane.OURS, found.ours), (Lane.BARE, found.bare))
    ]
    words = "both goals met" if found.within else "a goal is missed"
    return Group(
        f"window closed to flag changed over {found.hops} appends, after {found.warm_up} records of warm-up (ms)",
        table(["", "COUNT", "P50", "P99", "WORST"], rows),
        f"p99 {found.ratio:.2f} x the bare chain (goal {MOST_RATIO:.0f}), "
        f"{found.ours.p99:.1f} ms (goal {MOST_MS:.0f}): {words}",
    )


@contextmanager
def _children(on: Ground) -> Iterator[None]:
    """Run the services in one process and the relays of the bare chain in another."""
    health, flags, sync = free_ports(3)
    environment = on.environment(HEALTH_PORT=health, OFREP_PORT=flags, SYNC_PORT=sync)
    services = on.child("services", sys.executable, "-P", "-m", "services", *_SERVICES)
    relay = on.child("relay", sys.executable, "-P", "-m", "tests.bench.pipeline.relay")
    children = (services, relay)
    try:
        for child in children:
            child.start(environment)
        wait_until(lambda: _ready(health), services)
        wait_until(lambda: relay.last_words().count("ready") == HOPS - 1, relay)
        yield
    finally:
        for child in children:
            child.kill()


def _ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
