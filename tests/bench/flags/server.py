"""One server process of a measurement: `python -m tests.bench.flags.server KIND FLAGS`.

KIND is `echo` (an ASGI application on the same HTTP server that only echoes) or `flags` (OFREP and flagd sync as in
production, with authentication and counting). It prints its ports, then obeys lines on stdin: `push VERSION` publishes
a new version and prints the monotonic time of it, `rss` prints resident bytes, `cpu` processor seconds used.
"""

import asyncio
import gc
import os
import resource
import sys
import time
from pathlib import Path

import uvloop

from penstock.tokens import Identity, Tokens, digest_of
from services.flag_control.serving.access import Access
from services.flag_control.serving.flagd_sync import SyncServer
from services.flag_control.serving.http_responses import Receive, Scope, Send
from services.flag_control.serving.http_server import http_server
from services.flag_control.serving.ofrep import Application, Ofrep
from services.flag_control.serving.store import FlagStore
from services.flag_control.serving.usage import Usage
from services.runtime.http.server import health_app
from tests.bench.flags.sample import TOKEN, source


async def echo(_: Scope, receive: Receive, send: Send) -> None:
    """Answer with the request's body."""
    body = (await receive())["body"]
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _serve(kind: str, flags: int) -> None:
    store = FlagStore()
    store.publish(source(flags))
    access = Access(Tokens(tokens=(Identity(sha256=digest_of(TOKEN), identity="bench"),)))
    usage = Usage(time.time)  # noqa: TID251 - a shell reads the clock
    ofrep = Ofrep(store, usage, health_app(lambda: True, lambda: True), access=access)
    app: Application = echo if kind == "echo" else ofrep
    http = http_server(app, "127.0.0.1", 0)
    sync = SyncServer(store, "127.0.0.1", 0)
    await http.start()
    await sync.start()
    _say(http.port, sync.port)
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := (await reader.readline()).decode().split():
        match line:
            case ["push", version]:
                began = time.monotonic()
                store.publish(source(flags, int(version)))
                _say(began)
            case ["rss"]:
                _say(_resident_bytes())
            case ["cpu"]:
                used = resource.getrusage(resource.RUSAGE_SELF)
                _say(used.ru_utime + used.ru_stime)
    await sync.stop()
    await http.stop()


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _say(*words: object) -> None:
    print(*words, flush=True)


if __name__ == "__main__":
    gc.freeze()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(sys.argv[1], int(sys.argv[2])))
