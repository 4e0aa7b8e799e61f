"""The write endpoint's operations over a flag log in memory."""

from pathlib import Path
from typing import Protocol

from penstock.events import FlagRequest
from services.flag_control.fallback.kill_spool import KillSpool
from services.flag_control.fallback.last_good import Stale
from services.flag_control.fallback.peers import Peers
from services.flag_control.operations import FlagOperations
from services.flag_control.publisher import Publisher
from services.flag_control.served_reports import ServedReports
from services.flag_control.serving.store import FlagStore
from services.flag_control.serving.streams import Signal, Streams
from services.flag_control.serving.usage import Usage
from services.runtime.process.service import system_clock


class Log(Protocol):
    """Where requests go in the test."""

    def ready(self) -> bool: ...

    def submit(self, request: FlagRequest, after: float = 0.0) -> None: ...


class Followed:
    """The log is followed."""

    stale: Stale | None = None


def operations_on(
    log: Log, spool: Path | KillSpool, store: FlagStore, publisher: Publisher, usage: Usage
) -> FlagOperations:
    """Return the operations of an instance without peers and without clients."""
    moved = Signal()
    reports = ServedReports("one", Streams(moved), lambda _: True, moved, lambda _: None, system_clock)
    kills = spool if isinstance(spool, KillSpool) else KillSpool(spool)
    return FlagOperations(store, publisher, kills, Peers(""), reports, usage, log, log, Followed(), system_clock)
