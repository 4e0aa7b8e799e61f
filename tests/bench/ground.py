"""Where a benchmark runs: a broker, topics of its own that it deletes, and our services as children of the command."""

import asyncio
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from penstock.cli.client import settings
from penstock.cli.output import Output
from penstock.errors import NotFoundError, UnavailableError
from penstock.local.kafka.broker import LocalKafka
from penstock.local.processes import Child, Watchdog
from penstock.local.state import tree_root
from penstock.settings import Settings
from tests.bench.pipeline.probe import prepare, remove

_READY_S = 60.0


@dataclass(frozen=True)
class Ground:
    """What a benchmark stands on.

    Attributes:
        settings: of the broker, with a topic prefix of this run alone.
        cluster: id of the Kafka cluster.
        root: the tree that the services run from; folder: for state and logs, removed afterwards.
        watchdog: kills the children if this process is killed.
    """

    settings: Settings
    cluster: str
    root: Path
    folder: Path
    watchdog: Watchdog

    def environment(self, **ours: object) -> dict[str, str]:
        """Return the environment of a child: nobody's settings but the broker's credentials and `ours`."""
        where = self.settings
        given = {
            "KAFKA": where.kafka,
            "TOPIC_PREFIX": where.topic_prefix,
            "STATE": self.folder,
            "LOG_LEVEL": "WARNING",
            **ours,
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
        security = {name: value for name, value in os.environ.items() if name.startswith("PENSTOCK_KAFKA_")}
        named = {f"PENSTOCK_{name}": str(value) for name, value in given.items()}
        return {**kept, **security, **named, "PYTHONPATH": str(self.root)}

    def child(self, name: str, *command: str) -> Child:
        """Return a child that is not started yet; its words go to a file of its name."""
        return Child(name, command, self.folder / f"{name}.log", self.watchdog)


@contextmanager
def ground(out: Output) -> Iterator[Ground]:
    """Yield the ground of a benchmark, topics created; everything is gone afterwards.

    Raises:
        NotFoundError: this is not a clone, so there are no services to measure.
        UnavailableError: there is no Kafka to be had.
    """
    root = tree_root()
    if root is None:
        raise NotFoundError("the services are not installed here: run this from a clone of Penstock")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="penstock-bench-")))
        watchdog = Watchdog()
        stack.callback(watchdog.close)
        where = stack.enter_context(_broker(folder, watchdog, out)).model_copy(
            update={"topic_prefix": f"bench-{secrets.token_hex(3)}.", "state": folder}
        )
        cluster = asyncio.run(prepare(where))
        stack.callback(lambda: asyncio.run(remove(where)))
        yield Ground(where, cluster, root, folder, watchdog)


@contextmanager
def _broker(folder: Path, watchdog: Watchdog, out: Output) -> Iterator[Settings]:
    """Yield settings on the Kafka that the settings name, or on one of the benchmark's own in `folder`."""
    given = settings()
    if given.kafka != Settings.model_fields["kafka"].default:
        out.progress(f"using the Kafka at {given.kafka}")
        yield given
        return
    from penstock.local.kafka.aot import trained
    from penstock.local.kafka.jars import kafka_jars
    from penstock.local.kafka.java import find_java
    from penstock.local.progress import Narrator

    narrator = Narrator(out.quiet)
    own = LocalKafka(trained(find_java(), kafka_jars(narrator), narrator, watchdog), folder, watchdog=watchdog)
    out.progress("starting a Kafka of its own")
    own.start()
    try:
        yield given.model_copy(update={"kafka": own.bootstrap})
    finally:
        own.kill()


def wait_until(ready: Callable[[], bool], child: Child) -> None:
    """Return once the child is ready.

    Raises:
        UnavailableError: it died, or a minute passed; with its last words.
    """
    deadline = time.monotonic() + _READY_S
    while not ready():
        if not child.alive or time.monotonic() > deadline:
            raise UnavailableError(f"{child.name} does not start; it said:\n{child.last_words()}")
        time.sleep(0.05)
