"""A process of services: builds them, starts them together, answers for their health, ends when one of them dies."""

import asyncio
import gc
import importlib
import logging

from penstock.settings import Settings

from .http import HttpServer, health_app
from .instance import held
from .service import Decider, Service, system_clock

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


async def run(names: tuple[str, ...], settings: Settings, stop: asyncio.Event) -> int:
    """Run the services until `stop` is set (0) or one is dead (1): a new process heals what a loop cannot.

    Raises:
        UnavailableError: Kafka is away, or another process is the copy of that name.
    """
    with held(settings, names):
        return await _run(names, settings, stop)


async def _run(names: tuple[str, ...], settings: Settings, stop: asyncio.Event) -> int:
    services = [build(name, settings) for name in names]
    health = HttpServer(
        health_app(
            lambda: all(s.ready() for s in services),
            lambda: all(s.alive() for s in services),
            lambda: [parked for s in services if isinstance(s, Decider) for parked in s.parked()],
        ),
        settings.host,
        settings.health_port,
    )
    if settings.health_port:
        await health.start()
    started: list[Service] = []
    patience: float | None = _HALF_STARTED_S
    try:
        if not await _start(services, started, stop):
            return 0
        patience = None
        _set_aside()
        log.info("ready: %s", ", ".join(names))
        return await _watch(services, stop)
    finally:
        ends = asyncio.gather(*(service.stop() for service in started), return_exceptions=True)
        await asyncio.wait({ends}, timeout=patience)
        await health.stop()


def load(names: tuple[str, ...]) -> None:
    """Import the services, which takes a second: in a running loop no signal would be heard meanwhile."""
    for name in names:
        importlib.import_module(f"services.{name}.app")


def build(name: str, settings: Settings) -> Service:
    """Return the service of that name, not yet started."""
    service: Service = importlib.import_module(f"services.{name}.app").build(settings, system_clock)
    return service


async def _start(services: list[Service], started: list[Service], stop: asyncio.Event) -> bool:
    """Start all at once; return False, leaving them half started, if `stop` is set before they are."""

    async def start(service: Service) -> None:
        started.append(service)
        await service.start()

    starts = asyncio.gather(*(start(service) for service in services))
    asked = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((starts, asked), return_when=asyncio.FIRST_COMPLETED)
        if not starts.done():
            starts.cancel()
            await asyncio.wait((starts,), timeout=_HALF_STARTED_S)
            # Asked for, so that nothing logs that nobody did.
            _ = starts.done() and (starts.cancelled() or starts.exception())
            return False
        await starts
        return True
    finally:
        asked.cancel()


def _set_aside() -> None:
    """Keep the garbage collector off what lives as long as the process.

    Modules and restored state are most of what there is; looking through them would hold up every decision by tens of
    milliseconds. What is set aside is freed all the same when its last reference goes.
    """
    gc.collect()
    gc.freeze()


async def _watch(services: list[Service], stop: asyncio.Event) -> int:
    while not stop.is_set():
        dead = [service.name for service in services if not service.alive()]
        if dead:
            log.error("not alive: %s; the process ends so that it is restarted", ", ".join(dead))
            return 1
        try:
            await asyncio.wait_for(stop.wait(), _WATCH_S)
        except TimeoutError:
            continue
    return 0
