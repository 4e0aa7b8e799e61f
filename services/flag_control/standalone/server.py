"""flagd files served over OFREP and flagd sync by the production code, without Kafka or Redis."""

import asyncio
import logging
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop

from penstock.errors import InvalidError, Problem
from services.flag_control.evaluation.bucketing import Bucketing
from services.flag_control.serving.cors import parse_origins
from services.flag_control.serving.flagd_sync import SyncServer
from services.flag_control.serving.http_server import http_server
from services.flag_control.serving.ofrep import Ofrep
from services.flag_control.serving.store import FlagStore
from services.flag_control.serving.usage import Usage
from services.flag_control.standalone.files import Files
from services.runtime.http.server import HttpServer, health_app
from services.runtime.process.open_files import raise_open_files
from services.runtime.process.tasks import begin


@dataclass(frozen=True)
class Options:
    """What `penstock flags serve` was asked for."""

    paths: Sequence[Path]
    host: str = "127.0.0.1"
    ofrep_port: int = 8016
    sync_port: int = 8015
    context: Mapping[str, Any] = field(default_factory=dict)
    lenient: bool = False
    bucketing: Bucketing = Bucketing.V3
    origins: str = ""


@dataclass(frozen=True)
class Served:
    """A running standalone server."""

    store: FlagStore
    usage: Usage
    http: HttpServer
    sync: SyncServer
    following: asyncio.Task[None]


def bucketing_of(name: str) -> Bucketing:
    """Return the bucketing of that name.

    Raises:
        InvalidError: there is none.
    """
    try:
        return Bucketing(name)
    except ValueError:
        raise InvalidError("--bucketing", [Problem("", f"{name!r} is neither v2 nor v3")]) from None


@asynccontextmanager
async def serving(options: Options, print_line: Callable[[str], None]) -> AsyncIterator[Served]:
    """Serve the files until the block is left.

    Raises:
        InvalidError: a file does not load; UnavailableError: a port is in use.
    """
    # The core logs every context that a rule cannot use: a client must not be able to fill our disk.
    logging.getLogger("openfeature.contrib").setLevel(logging.CRITICAL)
    store = FlagStore()
    files = Files(options.paths, store, print_line, lenient=options.lenient, bucketing=options.bucketing)
    files.load()
    usage = Usage(time.time)  # noqa: TID251 - a shell reads the clock
    beside = health_app(lambda: not files.missing, lambda: True, more=lambda: _trouble(files))
    http = http_server(
        Ofrep(store, usage, beside, overlay=options.context, origins=parse_origins(options.origins)),
        options.host,
        options.ofrep_port,
    )
    sync = SyncServer(store, options.host, options.sync_port, context=options.context)
    await http.start()
    try:
        await sync.start()
        following = begin(files.follow())
        try:
            yield Served(store, usage, http, sync, following)
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            await sync.stop()
    finally:
        await http.stop()


def _trouble(files: Files) -> dict[str, Any]:
    """Return, for the readiness answer, which files are gone or bad; their last good flags are served on."""
    found = {"missing": files.missing, "refused": files.refused}
    return {name: [str(path) for path in paths] for name, paths in found.items() if paths}


def serve(options: Options, print_line: Callable[[str], None]) -> None:
    """Serve the files until SIGINT or SIGTERM."""
    raise_open_files()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_until_stopped(options, print_line))


async def _until_stopped(options: Options, print_line: Callable[[str], None]) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with serving(options, print_line) as served:
        host = f"[{options.host}]" if ":" in options.host else options.host
        print_line(f"OFREP        http://{host}:{served.http.port}")
        print_line(f"flagd sync   {host}:{served.sync.port}  (FLAGD_RESOLVER=in-process FLAGD_SYNC_PORT=...)")
        print_line("Ctrl-C stops")
        asked = begin(stopped.wait())
        await asyncio.wait({asked, served.following}, return_when=asyncio.FIRST_COMPLETED)
        if served.following.done():
            # To serve on without following the files would look well and be wrong.
            await served.following
        asked.cancel()
