"""API and dashboard as one ASGI application: where events come from and go to is handed in, so tests need no Kafka."""

from collections.abc import Callable
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from penstock.errors import PenstockError
from services.console.commands import Commands, Publish
from services.console.flag_control_client import FlagControl
from services.console.http_api.closed import Hosts, ReadAccess
from services.console.http_api.dead_letters import DeadLetterRoutes
from services.console.http_api.event_stream import Hub
from services.console.http_api.openapi import openapi_route
from services.console.http_api.reads import Reads
from services.console.http_api.responses import on_error, on_gone
from services.console.http_api.security import Door, SecurityHeaders
from services.console.http_api.startup_gate import NotYet
from services.console.http_api.writes import Writes
from services.console.pages.routes import Pages
from services.console.pages.site import static_files
from services.console.read_models.dead_letters import DeadLetters
from services.console.read_models.projection import Projection
from services.console.redrive import Redrive
from services.runtime.http.bodies import GoneError
from services.runtime.http.errors import HTTP_ERRORS
from services.runtime.http.server import health_routes
from services.runtime.process.service import Clock


@dataclass(frozen=True)
class ReadModels:
    """What pages and API show."""

    projection: Projection
    letters: DeadLetters
    hub: Hub


@dataclass(frozen=True)
class Outward:
    """Where requests of people go: commands, deploys and redriven inputs to Kafka, kills to flag control."""

    commands: Commands
    publish: Publish
    flag_control: FlagControl
    redrive: Redrive


@dataclass(frozen=True)
class Access:
    """Who may do what here.

    Attributes:
        door: checks tokens and sessions.
        hosts: names that the server answers to.
        closed: whether reading needs a role.
    """

    door: Door
    hosts: frozenset[str]
    closed: bool = False


@dataclass(frozen=True)
class Health:
    """What the probes ask; `caught_up` is whether everything recorded at the start has been read."""

    ready: Callable[[], bool]
    alive: Callable[[], bool]
    caught_up: Callable[[], bool]


def application(known: ReadModels, outward: Outward, access: Access, health: Health, clock: Clock) -> Starlette:
    """Return API and dashboard as one ASGI application."""
    projection, letters, hub, door = known.projection, known.letters, known.hub, access.door
    pages = Pages(projection, letters, hub, outward.commands, door, clock, outward.flag_control)
    reading = [Middleware(ReadAccess, door=door, now=lambda: clock().timestamp())] if access.closed else []
    return Starlette(
        routes=[
            *health_routes(health.ready, health.alive),
            *Writes(projection, outward.commands, outward.publish, door).routes(),
            *Reads(projection, hub, clock).routes(),
            *DeadLetterRoutes(letters, outward.redrive, door, clock).routes(),
            *pages.routes(),
            openapi_route(),
            static_files(),
        ],
        middleware=[
            Middleware(SecurityHeaders),
            Middleware(Hosts, names=access.hosts),
            Middleware(NotYet, caught_up=health.caught_up),
            *reading,
        ],
        exception_handlers={
            **HTTP_ERRORS,
            HTTPException: pages.on_http_error,
            PenstockError: on_error,
            GoneError: on_gone,
        },
    )
