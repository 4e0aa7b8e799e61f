"""A process of services: builds them, starts them together, answers for their health, ends when one of them dies."""

import asyncio
import gc
import importlib
import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from starlette.applications import Starlette

from penstock.chain import Document
from penstock.settings import Settings
from services.runtime.http.server import HttpServer, health_app
from services.runtime.kafka.waiting import REFUSED, stop_what_started, until_available
from services.runtime.process.instance import held
from services.runtime.process.service import Decider, Parked, Service, system_clock
from services.runtime.process.tasks import begin

NAMES = (
    "metric_ingestion",
    "gate_evaluation",
    "rollout_control",
    "flag_control",
    "rollback_execution",
    "notification",
    "console",
)
"""Every service, in the order of the flow."""

_WATCH_S = 1.0
_HALF_STARTED_S = 0.5
"""For the end of what is half started: it may wait for what will not come, and a kill would do no harm either."""

log = logging.getLogger(__name__)


class Copy:
    """One service of the process, started again until Kafka is there, however long that takes.

    Attributes:
        waits: why it has not started yet; empty once it has.
    """

    def __init__(self, name: str, make: Callable[[], Service]) -> None:
        self.name = name
        self.waits = "starting"
        self._make = make
        self._service = make()

    @property
    def started(self) -> bool:
        """True once `start()` has returned."""
        return not self.waits

    async def start(self) -> None:
        """Return once the service has started."""
        await until_available(lambda: self._service.start(), self._replace)
        self.waits = ""

    async def _replace(self, reason: str) -> None:
        self.waits = reason
        if reason.startswith(REFUSED):
            log.error("%s: %s; it tries again every second", self.name, reason)
        else:
            log.warning("%s waits for Kafka and goes on once it answers: %s", self.name, reason)
        # A failed start may leave half of what the service needs: the next attempt begins with a new one.
        before, self._service = self._service, self._make()
        await stop_what_started(before)

    async def stop(self) -> None:
        """Stop it, as far as it has started."""
        await self._service.stop()

    def ready(self) -> bool:
        """Whether it has started and caught up."""
        return self.started and self._service.ready()

    def alive(self) -> bool:
        """Whether it works, or waits for Kafka: a restart would bring Kafka no nearer."""
        return not self.started or self._service.alive()

    def parked(self) -> Iterable[Parked]:
        """Return the targets that it holds back."""
        return self._service.parked() if isinstance(self._service, Decider) else ()


async def run(names: tuple[str, ...], settings: Settings, stop: asyncio.Event) -> int:
    """Run the services until `stop` is set (0) or one is dead (1): a new process heals what a loop cannot.

    Raises:
        UnavailableError: a port is taken, Kafka refuses a topic, or another process is the copy of that name.
    """
    with held(settings, names):
        return await serve([Copy(name, partial(build, name, settings)) for name in names], settings, stop)


async def serve(copies: Sequence[Copy], settings: Settings, stop: asyncio.Event) -> int:
    """Start all copies at once, answer for their health, and watch them until `stop` is set or one is dead."""
    health = HttpServer(health_of(copies), settings.host, settings.health_port)
    if settings.health_port:
        await health.start()
    starts = [begin(copy.start()) for copy in copies]
    try:
        return await _watch(copies, starts, stop)
    finally:
        patience = None if all(copy.started for copy in copies) else _HALF_STARTED_S
        for start in starts:
            start.cancel()
        await asyncio.wait(starts, timeout=_HALF_STARTED_S)
        # Asked for, so that nothing logs that nobody did.
        _ = [start.done() and (start.cancelled() or start.exception()) for start in starts]
        ends = asyncio.gather(*(copy.stop() for copy in copies), return_exceptions=True)
        await asyncio.wait({ends}, timeout=patience)
        await health.stop()


def health_of(copies: Sequence[Copy]) -> Starlette:
    """Return the health answers of a process; readiness names what waits, and for what."""

    def waiting() -> Document:
        waits = {copy.name: copy.waits for copy in copies if not copy.started}
        return {"waiting": waits} if waits else {}

    return health_app(
        lambda: all(copy.ready() for copy in copies),
        lambda: all(copy.alive() for copy in copies),
        lambda: [parked for copy in copies for parked in copy.parked()],
        waiting,
    )


def load(names: tuple[str, ...]) -> None:
    """Import the services, which takes a second: in a running loop no signal would be handled until it is done."""
    for name in names:
        importlib.import_module(f"services.{name}.app")


def build(name: str, settings: Settings) -> Service:
    """Return the service of that name, not yet started."""
    service: Service = importlib.import_module(f"services.{name}.app").build(settings, system_clock)
    return service


async def _watch(copies: Sequence[Copy], starts: Sequence[asyncio.Task[None]], stop: asyncio.Event) -> int:
    asked = begin(stop.wait())
    reported = False
    try:
        while not stop.is_set():
            for start in starts:
                if start.done():
                    await start
            if not reported and all(copy.started for copy in copies):
                _set_aside()
                log.info("ready: %s", ", ".join(copy.name for copy in copies))
                reported = True
            dead = [copy.name for copy in copies if not copy.alive()]
            if dead:
                log.error("not alive: %s; the process ends so that it is restarted", ", ".join(dead))
                return 1
            pending = {asked, *(start for start in starts if not start.done())}
            await asyncio.wait(pending, timeout=_WATCH_S, return_when=asyncio.FIRST_COMPLETED)
        return 0
    finally:
        asked.cancel()


def _set_aside() -> None:
    """Keep the garbage collector off what lives as long as the process.

    Modules and restored state are most of what there is; looking through them would hold up every decision by tens of
    milliseconds. What is set aside is freed all the same when its last reference goes.
    """
    gc.collect()
    gc.freeze()
