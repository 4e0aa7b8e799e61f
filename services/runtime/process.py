"""A process of services: builds them, starts them together, answers for their health, ends when one of them dies."""

import asyncio
import importlib
import logging

from penstock.settings import Settings

from .http import HttpServer, health_app
from .instance import held
from .service import Service, system_clock

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
        health_app(lambda: all(s.ready() for s in services), lambda: all(s.alive() for s in services)),
        settings.host,
        settings.health_port,
    )
    if settings.health_port:
        await health.start()
    started: list[Service] = []
    try:
        await asyncio.gather(*(_start(service, started) for service in services))
        log.info("ready: %s", ", ".join(names))
        return await _watch(services, stop)
    finally:
        await asyncio.gather(*(service.stop() for service in started), return_exceptions=True)
        await health.stop()


def build(name: str, settings: Settings) -> Service:
    """Return the service of that name, not yet started."""
    service: Service = importlib.import_module(f"services.{name}.app").build(settings, system_clock)
    return service


async def _start(service: Service, started: list[Service]) -> None:
    started.append(service)
    await service.start()


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
