"""The limits of one HTTP door: what a client may send, how long it may take, and how many may be connected."""

from dataclasses import dataclass

from services.runtime.process.open_files import open_files

_FILES_BESIDE = 256
_DOORS = 4
"""Doors of the one-process stack; together they must leave open files for Kafka, disk and logs."""


@dataclass(frozen=True)
class Limits:
    """Every limit of a door. A request beyond one is answered 4xx or 503 with the reason, then disconnected.

    Attributes:
        connections: in total (503 beyond); per_address: from one address (429 beyond).
        reserve: connections beyond these, for `/health/` only: probes get through a flood.
        line_bytes: of the request target (414); header_bytes and headers: of all header fields of a request (431).
        body_bytes: of a body as it is sent (413).
        request_seconds: for a whole request to arrive (408), and for a client to read what waits for it.
        idle_seconds: between two requests of a connection.
        pipelined: requests of one connection that wait for the answer to an earlier one (429).
    """

    connections: int = 2_000
    per_address: int = 1_000
    reserve: int = 64
    line_bytes: int = 8 * 1024
    header_bytes: int = 32 * 1024
    headers: int = 100
    body_bytes: int = 4 * 1024 * 1024
    request_seconds: float = 10.0
    idle_seconds: float = 15.0
    pipelined: int = 64

    def most_connections(self) -> int:
        """Return how many connections the system's limit of open files allows, at most `connections`."""
        files = open_files()
        return self.connections if files is None else min(self.connections, max(64, (files - _FILES_BESIDE) // _DOORS))
