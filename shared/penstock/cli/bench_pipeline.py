"""`penstock bench pipeline`: window closed to flag changed, on a real broker, beside a bare aiokafka chain."""

import asyncio
import http
import http.client
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group

from penstock.errors import NotFoundError, UnavailableError
from penstock.local.kafka import LocalKafka
from penstock.local.ports import free_ports
from penstock.local.processes import Child, Watchdog
from penstock.local.state import tree_root
from penstock.settings import Settings

from .bench_probe import Lane, Latencies, measure, prepare, remove
from .bench_relay import HOPS
from .client import settings
from .exits import Exits
from .output import Json, Output, Quiet, table

app = typer.Typer(help="Window closed to flag changed, beside a bare chain.")

MOST_MS = 50.0
MOST_RATIO = 3.0
_READY_S = 60.0
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
        stack.enter_context(_children(where, root, folder, watchdog))
        ours, bare = asyncio.run(measure(where, cluster, transitions, warm_up, out.progress))
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
def broker(folder: Path, watchdog: Watchdog, out: Output) -> Iterator[Settings]:
    """Yield settings on the Kafka that the settings name, or on one of the benchmark's own in `folder`."""
    given = settings()
    if given.kafka != Settings.model_fields["kafka"].default:
        out.progress(f"using the Kafka at {given.kafka}")
        yield given
        return
    from penstock.local.aot import trained
    from penstock.local.jars import kafka_jars
    from penstock.local.java import find_java
    from penstock.local.progress import Narrator

    narrator = Narrator(out.quiet)
    own = LocalKafka(trained(find_java(), kafka_jars(narrator), narrator, watchdog), folder, watchdog=watchdog)
    out.progress("starting a Kafka of its own")
    own.start()
    try:
        yield given.model_copy(update={"kafka": own.bootstrap})
    finally:
        own.kill()


@contextmanager
def _children(where: Settings, root: Path, folder: Path, watchdog: Watchdog) -> Iterator[None]:
    """Run the services in one process and the relays of the bare chain in another."""
    health, flags, sync = free_ports(3)
    ours = {
        "KAFKA": where.kafka,
        "TOPIC_PREFIX": where.topic_prefix,
        "STATE": str(folder),
        "HEALTH_PORT": str(health),
        "OFREP_PORT": str(flags),
        "SYNC_PORT": str(sync),
        "LOG_LEVEL": "WARNING",
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
    security = {name: value for name, value in os.environ.items() if name.startswith("PENSTOCK_KAFKA_")}
    environment = {**kept, **security, **{f"PENSTOCK_{n}": v for n, v in ours.items()}, "PYTHONPATH": str(root)}
    services = Child(
        "services", (sys.executable, "-P", "-m", "services", *_SERVICES), folder / "services.log", watchdog
    )
    relay = Child("relay", (sys.executable, "-P", "-m", "penstock.cli.bench_relay"), folder / "relay.log", watchdog)
    children = (services, relay)
    try:
        for child in children:
            child.start(environment)
        _await(lambda: _ready(health), services)
        _await(lambda: relay.last_words().count("ready") == HOPS - 1, relay)
        yield
    finally:
        for child in children:
            child.kill()


def _await(so: Callable[[], bool], child: Child) -> None:
    deadline = time.monotonic() + _READY_S
    while not so():
        if not child.alive or time.monotonic() > deadline:
            raise UnavailableError(f"{child.name} does not start; it said:\n{child.last_words()}")
        time.sleep(0.05)


def _ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
