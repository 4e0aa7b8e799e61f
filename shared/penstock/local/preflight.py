"""What must hold before anything is started: every problem at once, each with its next step."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from penstock.errors import UnavailableError
from penstock.local.kafka.broker import require_space
from penstock.local.kafka.java import find_java
from penstock.local.ports import free_ports, require_free, require_open
from penstock.local.redis import find_server
from penstock.settings import Settings, variable_of

KAFKA_PORT = 9092

PORTS = {
    "console_port": "the dashboard and API",
    "otlp_port": "the metrics intake",
    "ofrep_port": "flag evaluation",
    "sync_port": "flag streams",
}
"""Ports of the services by their settings, and what each is for."""


def choose_ports(settings: Settings) -> dict[str, str]:
    """Return the services' ports by the names of their settings, free ones in place of 0."""
    free = iter(free_ports(len(PORTS), settings.host))
    return {field: str(getattr(settings, field) or next(free)) for field in PORTS}


def look_first(settings: Settings, kafka_port: int, folder: Path) -> None:
    """Do nothing if the ports are free, named servers are there, and so is what own ones need: Java, room in `folder`.

    Raises:
        UnavailableError: they are not; tells all of it.
    """
    problems = list(_problems(settings, kafka_port, folder))
    if len(problems) == 1:
        raise UnavailableError(problems[0])
    if problems:
        listed = "".join(f"\n  {problem}" for problem in problems)
        raise UnavailableError(f"{len(problems)} things are in the way, and nothing was started:{listed}{_beside()}")


def taken_ports(settings: Settings, kafka_port: int) -> Iterator[tuple[int, str]]:
    """Yield each port that cannot be listened on, with the sentence for it."""
    wanted = [
        (
            getattr(settings, field),
            what,
            f"stop that program, or set {variable_of(field)} to another port (0 takes a free one)",
            settings.host,
        )
        for field, what in PORTS.items()
    ]
    if "kafka" not in settings.model_fields_set:
        remedy = "stop that program, start with `--kafka-port 0`, or set PENSTOCK_KAFKA if that is a Kafka to use"
        wanted.append((kafka_port, "Kafka", remedy, "127.0.0.1"))
    for each in wanted:
        for problem in _tried(partial(require_free, *each)):
            yield each[0], problem


def _problems(settings: Settings, kafka_port: int, folder: Path) -> Iterator[str]:
    for _, problem in taken_ports(settings, kafka_port):
        yield problem
    if "kafka" in settings.model_fields_set:
        yield from _tried(lambda: require_open(settings.kafka.split(","), "PENSTOCK_KAFKA"))
    else:
        yield from _tried(find_java)
        yield from _tried(lambda: require_space(folder))
    if settings.redis is None:
        yield from _tried(find_server)
        return
    address = urlsplit(settings.redis)
    if address.hostname:
        yield from _tried(lambda: require_open([f"{address.hostname}:{address.port or 6379}"], "PENSTOCK_REDIS"))


def _tried(look: Callable[[], object]) -> Iterator[str]:
    try:
        look()
    except UnavailableError as error:
        yield str(error)


def _beside() -> str:
    free = " ".join(f"{variable_of(field)}=0" for field in PORTS)
    return f"\nAll on free ports: {free} penstock up --kafka-port 0"
