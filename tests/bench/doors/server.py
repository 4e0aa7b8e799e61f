"""One door in a process of its own, as in production without Kafka: `python -m tests.bench.doors.server KIND [PORT]`.

KIND is `console`, `otlp`, `flags` (OFREP, the write endpoint and flagd sync) or `health`. It prints its ports and then
answers each line on stdin with its peak memory in bytes.
"""

import asyncio
import os
import re
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uvloop

from penstock.events import RolloutAnnounced, StageEntered
from penstock.tokens import Identity, Role, Tokens, digest_of
from services.flag_control.http_api import control_app
from services.flag_control.publisher import Publisher
from services.flag_control.serving.flagd_sync import SyncServer
from services.flag_control.serving.http_server import http_server
from services.flag_control.serving.ofrep import Ofrep
from services.flag_control.serving.store import FlagStore
from services.flag_control.serving.usage import Usage
from services.metric_ingestion.doors.otlp_http import LIMITS, OtlpEndpoint
from services.metric_ingestion.selection.match import Matcher
from services.metric_ingestion.selection.select import Selector
from services.runtime.http.server import HttpServer, health_app, health_routes
from services.runtime.process.open_files import raise_open_files
from tests.flows.test_flags_command_line import Memory
from tests.support.builders import an
from tests.support.console.app import ConsoleApp
from tests.support.console.story import NOW, project
from tests.support.flags.operations import operations_on
from tests.support.metrics.ingestion import watched

TOKEN = "a-token-of-the-tests"
TOKENS = Tokens(tokens=(Identity(sha256=digest_of(TOKEN), identity="tests", roles=tuple(role.value for role in Role)),))


def health() -> HttpServer:
    """The health answers of a process."""
    return HttpServer(health_app(lambda: True, lambda: True), "127.0.0.1", 0)


class Console(HttpServer):
    """API and dashboard with a morning's rollouts."""

    def __init__(self, port: int = 0) -> None:
        self._console = ConsoleApp(project(), now=NOW)
        super().__init__(self._console.app, "127.0.0.1", port)

    async def stop(self) -> None:
        """End the streams, then stop."""
        self._console.hub.close()
        await super().stop()


def otlp() -> HttpServer:
    """The OTLP door over a Kafka that takes everything."""
    selector = Selector([Matcher(watched())])

    async def publish(_: Sequence[Any]) -> None:
        await asyncio.sleep(0)

    fallback = health_app(lambda: True, lambda: True)
    return HttpServer(OtlpEndpoint(TOKENS, lambda: selector, publish, time.time_ns, fallback), "127.0.0.1", 0, LIMITS)


def flags() -> tuple[HttpServer, SyncServer]:
    """OFREP with the write endpoint, and flagd sync."""
    store, memory, usage = FlagStore(), Memory(), Usage(lambda: 1.0)
    memory.publisher = Publisher(store, memory.document)
    spool = Path(tempfile.mkdtemp()) / "kills"
    memory.operations = operations_on(memory, spool, store, memory.publisher, usage)
    memory.submit(an(RolloutAnnounced))
    memory.submit(an(StageEntered, exposure=0.5, audience={}))
    control = control_app(memory.operations, TOKENS, health_routes(lambda: True, lambda: True))
    return http_server(Ofrep(store, usage, control), "127.0.0.1", 0), SyncServer(store, "127.0.0.1", 0)


def report_stalls(loop: asyncio.AbstractEventLoop) -> None:
    """Print where the loop stands whenever it has not moved for 80 ms (with PENSTOCK_STALLS set)."""
    moved = [time.monotonic()]

    def beat() -> None:
        moved[0] = time.monotonic()
        loop.call_later(0.01, beat)

    def watch(main: int) -> None:
        while True:
            time.sleep(0.02)
            if (stalled := time.monotonic() - moved[0]) > 0.08:
                frames = traceback.extract_stack(sys._current_frames()[main])[-6:]
                where = " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in reversed(frames))
                print(f"stalled {stalled * 1000:.0f} ms: {where}", file=sys.stderr, flush=True)

    beat()
    threading.Thread(target=watch, args=(threading.get_ident(),), daemon=True).start()


def peak_memory() -> int:
    """Return the most bytes that this program had; what its parent had before the fork does not count."""
    status = Path("/proc/self/status").read_text()
    found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    assert found is not None, "this system does not report its memory"
    return int(found[1]) * 1024


async def serve(kind: str, *port: int) -> None:
    """Serve until stdin ends."""
    if "PENSTOCK_STALLS" in os.environ:
        report_stalls(asyncio.get_running_loop())
    servers: Any = {"health": health, "console": Console, "otlp": otlp, "flags": flags}[kind](*port)
    servers = servers if isinstance(servers, tuple) else (servers,)
    for server in servers:
        await server.start()
    print(*(server.port for server in servers), flush=True)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.readline():
        print(peak_memory(), flush=True)
    for server in reversed(servers):
        await server.stop()


if __name__ == "__main__":
    raise_open_files()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(sys.argv[1], *map(int, sys.argv[2:])))
