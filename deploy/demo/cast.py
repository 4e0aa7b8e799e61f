"""Who plays in the demo: the local stack, the shop, its users and a subscriber, each started and stopped together."""

import os
import secrets
import shutil
import sys
import time
import urllib.error
import urllib.request
from base64 import b64encode
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from penstock.errors import UnavailableError
from penstock.local.ports import free_ports, is_open
from penstock.local.processes import Child, Watchdog, stop_all
from penstock.local.progress import Narrator
from penstock.local.stack import LocalStack
from penstock.local.state import Note, held, state_folder, tree_root
from penstock.settings import Settings

from .features import FEATURES, INSTANCES
from .listener import Listener
from .receiver import Receiver

_PATIENCE_S = 15.0
_DASHBOARD = 8400


class Cast:
    """Everything that runs; a context manager, from the main thread.

    Args:
        processes: one process a service instead of one for all.
        broken: flag whose candidate fails.

    Attributes:
        folder: of this run: logs, responses, plans and the postmortem; emptied at the next run.
        note: where the stack's parts are.
        listener: receives the console's events, once it is started.
    """

    note: Note
    listener: Listener
    receiver: Receiver
    stack: LocalStack

    def __init__(self, settings: Settings, narrator: Narrator, processes: bool = False, broken: str = "") -> None:
        self.folder = state_folder(settings) / "demo"
        self._given, self._narrator, self._processes, self._broken = settings, narrator, processes, broken
        self._resources = ExitStack()
        self._children: list[Child] = []

    def __enter__(self) -> Self:
        try:
            self._resources.enter_context(held(self.folder))
            for old in self.folder.iterdir():
                if old.name != "lock":
                    shutil.rmtree(old) if old.is_dir() else old.unlink()
            secret = f"whsec_{b64encode(secrets.token_bytes(32)).decode()}"
            # First in, last out: its stream ends when the console has stopped.
            self.listener = Listener()
            self._resources.callback(self.listener.close)
            self.receiver = Receiver((secret,))
            self._resources.callback(self.receiver.close)
            self.stack = self._resources.enter_context(self._make_stack(self._subscribers(secret)))
            self._watchdog = Watchdog()
            self._resources.callback(self._watchdog.close)
        except BaseException:
            self._resources.close()
            raise
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        stop_all(self._children, 1.0)
        self._resources.close()

    @property
    def responses(self) -> Path:
        """The load generator's account, a JSON line a response."""
        return self.folder / "responses.jsonl"

    def start(self) -> None:
        """Start the stack, the shop and its users."""
        self.note = self.stack.start()
        ports = [str(port) for port in free_ports(INSTANCES)]
        with self._narrator.step(f"opening {INSTANCES} copies of the shop, letting users in"):
            where = ("--ofrep", self.note.ofrep, "--otlp", self.note.otlp, "--broken", self._broken)
            shops = [self._play("shop", "--port", port, *where) for port in ports]
            for port, shop in zip(ports, shops, strict=True):
                _await_shop(port, shop)
            doors = (word for port in ports for word in ("--port", port))
            self._play("load", *doors, "--out", str(self.responses))

    def check(self) -> None:
        """Raise UnavailableError if a part of the demo has died; the stack's own parts are started again."""
        self.stack.check()
        for child in self._children:
            if not child.alive:
                raise UnavailableError(f"{child.name} has ended; it said:\n{child.last_words()}")

    def plan(self, name: str) -> Path:
        """Return the plan of that file name, with this run's receiver in place of the plan's example address."""
        text = (Path(__file__).parent / "plans" / name).read_text()
        path = self.folder / "plans" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text.replace("http://127.0.0.1:8499", self.receiver.address))
        return path

    def environment(self) -> dict[str, str]:
        """Return the environment in which the command line talks to this stack."""
        ours = {
            "PENSTOCK_SERVER": self.note.server,
            "PENSTOCK_KAFKA": self.note.kafka,
            "PENSTOCK_TOKEN": self.note.token or "",
            "PENSTOCK_TOPIC_PREFIX": self.stack.settings.topic_prefix,
            "PYTHONPATH": str(tree_root()),
        }
        return _inherited() | ours

    def _make_stack(self, subscribers: Path) -> LocalStack:
        dashboard = 0 if is_open(_DASHBOARD) else _DASHBOARD
        if "console_port" in self._given.model_fields_set:
            dashboard = self._given.console_port
        ports = {"console_port": dashboard, "otlp_port": 0, "ofrep_port": 0, "sync_port": 0}
        # A Kafka of somebody's own may have seen a demo before, whose bad version is still quarantined there.
        prefix = f"demo-{secrets.token_hex(4)}." if "kafka" in self._given.model_fields_set else ""
        folder = self.folder / "stack"
        changes = {**ports, "state": folder, "topic_prefix": prefix, "subscribers": subscribers, "tokens": None}
        settings = Settings.model_validate({**self._given.model_dump(exclude_unset=True), **changes})
        environment = {
            **_inherited(),
            "PENSTOCK_SUBSCRIBERS": str(subscribers),
            "PENSTOCK_TOPIC_PREFIX": prefix,
        }
        return LocalStack(settings, self._narrator, self._processes, kafka_port=0, environment=environment)

    def _subscribers(self, secret: str) -> Path:
        path = self.folder / "subscribers.yaml"
        path.write_text(
            "subscribers:\n"
            f"  - {{name: demo, url: '{self.receiver.address}/events', types: ['rollback.*'], secret: '{secret}',\n"
            f"     steps: {{hosts: '{self.receiver.address.partition('//')[2]}', targets: 'demo/shop/*'}}}}\n"
        )
        path.chmod(0o600)
        return path

    def _play(self, module: str, *arguments: str) -> Child:
        command = (sys.executable, "-P", "-m", f"deploy.demo.{module}", *arguments)
        child = Child(module, command, self.folder / f"{module}.log", self._watchdog)
        # The metric intake is a write: the SDK's exporter sends these headers with every export.
        access = {"OTEL_EXPORTER_OTLP_HEADERS": f"Authorization=Bearer%20{self.note.token}"} if self.note.token else {}
        child.start({**os.environ, **access, "PYTHONPATH": str(tree_root()), "PYTHONUNBUFFERED": "1"})
        self._children.append(child)
        return child


def _inherited() -> dict[str, str]:
    """Return the environment without Penstock's settings, but for how a Kafka of somebody's own is reached."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PENSTOCK_") or name.startswith("PENSTOCK_KAFKA_")
    }


def _await_shop(port: str, shop: Child) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline and shop.alive:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{FEATURES[0].route}?user=first", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise UnavailableError(f"the shop does not answer; it said:\n{shop.last_words()}")
