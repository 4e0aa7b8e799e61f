"""Attacks one door with generated inputs and reads every answer; what is not understood is a finding."""

import asyncio
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.bench.doors.hostile import DOORS, Attack, attack, slow_attack

AT_ONCE = 16
_PATIENCE_S = 25.0
_ENDLESS = 1.0
"""Seconds after which a stream that answers 200 is left."""
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n")
_EXPECTED = {
    200,
    202,
    204,
    206,
    301,
    303,
    304,
    307,
    308,
    400,
    401,
    403,
    404,
    405,
    408,
    409,
    413,
    414,
    415,
    416,
    421,
    422,
    429,
    431,
    503,
}
NEIGHBOURS = {"console": "/api/plans", "otlp": "/health/live", "flags": "/health/live", "health": "/health/live"}


@dataclass
class Outcome:
    """What came of all attacks on a door.

    Attributes:
        statuses: of every answer; findings: seed and what was wrong.
        neighbour: answers, wrong answers, median, 99th percentile, maximum (ms); quiet: the same without an attack.
        peak: bytes of memory of the server at its peak.
    """

    door: str
    count: int
    statuses: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    neighbour: list[float] = field(default_factory=list)
    quiet: list[float] = field(default_factory=list)
    peak: int = 0


async def besiege(door: str, count: int, seed: int, slow: int) -> Outcome:
    """Send `count` attacks, `slow` of them beside, to a door in a process of its own."""
    outcome = Outcome(door, count + slow)
    server = await _process("server", door)
    assert server.stdout is not None
    assert server.stdin is not None
    port = int((await server.stdout.readline()).split()[0])
    outcome.quiet = await _beside(port, NEIGHBOURS[door], asyncio.sleep(2))
    outcome.neighbour = await _beside(port, NEIGHBOURS[door], _all(port, door, seed, count, slow, outcome))
    if server.returncode is not None:
        outcome.findings.append(f"the server ended with {server.returncode}")
    else:
        server.stdin.write(b"\n")
        outcome.peak = int(await server.stdout.readline() or 0)
        server.stdin.close()
    _, errors = await server.communicate()
    # A line a minute and address about refused tokens is what an operator wants.
    lines = [line for line in errors.decode().splitlines() if not line.startswith("access.denied")]
    outcome.findings += [f"logged: {line}" for line in lines[:200]]
    return outcome


async def _process(module: str, *words: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    name = f"tests.bench.doors.{module}"
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", name, *words, stdin=pipe, stdout=pipe, stderr=pipe if module == "server" else None
    )


async def _beside(port: int, path: str, work: "asyncio.Future[None] | object") -> list[float]:
    neighbour = await _process("neighbour", str(port), path)
    await work  # type: ignore[misc]
    found, _ = await neighbour.communicate(b"\n")
    return [float(word) for word in found.split()]


async def _all(port: int, door: str, seed: int, count: int, slow: int, outcome: Outcome) -> None:
    numbers = iter(range(seed, seed + count))
    lanes = [_lane(port, door, numbers, outcome) for _ in range(AT_ONCE)]
    slows = [_one(port, slow_attack(DOORS[door], seed + n), seed + n, outcome) for n in range(slow)]
    await asyncio.gather(*lanes, *slows)


async def _lane(port: int, door: str, numbers: Iterator[int], outcome: Outcome) -> None:
    for seed in numbers:
        await _one(port, attack(DOORS[door], seed), seed, outcome)


async def _one(port: int, sent: Attack, seed: int, outcome: Outcome) -> None:
    try:
        answer = await asyncio.wait_for(_exchange(port, sent), _PATIENCE_S)
    except TimeoutError:
        outcome.findings.append(f"seed {seed}, {sent.kind}: no end within {_PATIENCE_S:g} s")
        return
    except OSError as error:
        outcome.findings.append(f"seed {seed}, {sent.kind}: {error!r}")
        return
    statuses = _STATUS.findall(answer)
    outcome.statuses.update(status.decode() for status in statuses)
    if not statuses:
        outcome.statuses["closed"] += 1
    wrong = trouble(answer)
    if wrong:
        outcome.findings.append(f"seed {seed}, {sent.kind}: {wrong}")


async def _exchange(port: int, sent: Attack) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    reading = asyncio.ensure_future(_read(reader))
    try:
        for piece, pause in sent.pieces:
            writer.write(piece)
            await asyncio.wait([reading], timeout=pause) if pause else await asyncio.sleep(0)
        await writer.drain()
        if sent.half and writer.can_write_eof():
            writer.write_eof()
    except OSError:
        pass
    try:
        return await reading
    finally:
        writer.transport.abort()


async def _read(reader: asyncio.StreamReader) -> bytes:
    whole = b""
    while True:
        # A stream of events never ends: its first second is enough.
        endless = b"text/event-stream" in whole
        try:
            piece = await asyncio.wait_for(reader.read(1 << 16), _ENDLESS if endless else None)
        except (TimeoutError, ConnectionError):
            return whole
        if not piece:
            return whole
        whole += piece


def trouble(answer: bytes) -> str:
    """Return what is wrong with what a door answered, empty where nothing is."""
    if answer and not answer.startswith(b"HTTP/1.1 "):
        return f"an answer that is no HTTP: {answer[:60]!r}"
    for found in _STATUS.finditer(answer):
        status = int(found[1])
        if status not in _EXPECTED and status != 100:
            return f"status {status}"
        head, _, body = answer[found.start() :].partition(b"\r\n\r\n")
        body = _STATUS.split(body)[0]
        # The answer to HEAD has no body.
        if status >= 400 and len(_words(body)) < 3 and body:
            return f"{status} without words: {body[:80]!r}"
        if status in {429, 503} and b"retry-after" not in head.lower():
            return f"{status} without Retry-After"
    return ""


def _words(body: bytes) -> list[bytes]:
    return re.findall(rb"[a-zA-Z]{2,}", body)
