"""The whole local stack: Kafka, the view's server and the services as children of this process, kept running."""

import http.client
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import chain, repeat
from pathlib import Path
from types import TracebackType
from typing import Self

from penstock.errors import NotFoundError, UnavailableError
from penstock.local import interrupts
from penstock.local.kafka.aot import trained
from penstock.local.kafka.broker import LocalKafka
from penstock.local.kafka.jars import kafka_jars
from penstock.local.kafka.java import find_java
from penstock.local.ports import free_ports
from penstock.local.preflight import KAFKA_PORT, choose_ports, look_first
from penstock.local.processes import Child, Watchdog
from penstock.local.progress import Narrator
from penstock.local.redis import LocalRedis
from penstock.local.state import (
    NOTE,
    Note,
    held,
    instance_name,
    local_token,
    record_keys,
    state_folder,
    tree_root,
    write_note,
)
from penstock.local.supervisor import Supervisor
from penstock.settings import Settings, variable_of

SERVICES = (
    "metric_ingestion",
    "gate_evaluation",
    "rollout_control",
    "flag_control",
    "rollback_execution",
    "notification",
    "console",
)
ALL_IN_ONE = "services"
_READY_S = 120.0
_SERVICES_STOP_S, _SERVERS_STOP_S = 3.0, 1.4
"""Together less than the five seconds after which nothing may be left."""


class LocalStack:
    """A stack on one state folder; use it as a context manager, from the main thread.

    Args:
        settings: what is set there is honoured: `kafka` and `redis` name servers to use instead of own ones, ports
            are fixed, and 0 takes a free one.
        processes: one process a service instead of one for all.
        kafka_port: of the own Kafka; 0 takes a free one.
        environment: what the services get besides.
    """

    def __init__(
        self,
        settings: Settings,
        narrator: Narrator,
        processes: bool = False,
        kafka_port: int = KAFKA_PORT,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self.settings, self.processes = settings, processes
        self.folder = state_folder(settings)
        self._narrator, self._kafka_port, self._environment = narrator, kafka_port, environment
        self._resources = ExitStack()
        self._supervisor = Supervisor(self.folder / "pids", narrator.warn)
        self._health: dict[str, int] = {}
        self._watchdog: Watchdog | None = None

    def __enter__(self) -> Self:
        try:
            self._resources.enter_context(held(self.folder))
            self._watchdog = Watchdog()
            self._resources.callback(self._watchdog.close)
            shutil.rmtree(self.folder / "pids", ignore_errors=True)
        except BaseException:
            self._resources.close()
            raise
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        try:
            self.stop()
        finally:
            self._resources.close()

    def start(self) -> Note:
        """Start everything; return when all services are ready, with the addresses.

        Raises:
            UnavailableError: something is missing, taken or does not start; names the next step.
        """
        root = tree_root()
        if root is None:
            raise NotFoundError("the services are not installed here: run `./penstock up` from a clone of Penstock")
        look_first(self.settings, self._kafka_port, self.folder / "kafka")
        ports = choose_ports(self.settings)
        # Fetched before anything starts, for that may fail.
        kafka = self._own_kafka()
        redis = self._start_redis()
        token, tokens = local_token(self.folder) if self.settings.tokens is None else (None, self.settings.tokens)
        flags = f"http://{self.settings.host}:{ports['ofrep_port']}"
        address = kafka.bootstrap if kafka else self.settings.kafka
        known = {"kafka": address, "redis": redis, "tokens": str(tokens.absolute()), "flags_server": flags}
        if kafka and self.settings.record_keys_file is None:
            now = datetime.now(UTC)  # noqa: TID251 - the stack is a shell
            known["record_keys_file"] = str(record_keys(self.folder, now).absolute())
        # Loading their code takes as long as Kafka's start.
        self._start_services(root, {**ports, **known}, ("--after-kafka",) if kafka else ())
        if kafka:
            self._start_kafka(kafka)
        how = "processes of their own" if self.processes else "one process"
        with self._narrator.step(f"starting {len(SERVICES)} services in {how}"):
            self._await_ready()
        host = self.settings.host
        note = Note(
            server=f"http://{host}:{ports['console_port']}",
            kafka=address,
            redis=redis,
            otlp=f"http://{host}:{ports['otlp_port']}",
            ofrep=f"http://{host}:{ports['ofrep_port']}",
            sync=f"{host}:{ports['sync_port']}",
            token=token,
        )
        write_note(self.folder, note)
        return note

    @property
    def pids(self) -> dict[str, int]:
        """Process ids by name, of those that run."""
        return self._supervisor.pids

    def check(self) -> None:
        """Start again what has died; call it every few tenths of a second. Raises KeyboardInterrupt after a Ctrl-C."""
        interrupts.check()
        self._supervisor.check()

    def ready(self) -> bool:
        """Return whether every process answers that it is ready."""
        return all(_answers(self.settings.host, port) for port in self._health.values())

    def stop(self) -> None:
        """End services first, then the servers, by force after five seconds in all."""
        (self.folder / NOTE).unlink(missing_ok=True)
        self._supervisor.stop((*SERVICES, ALL_IN_ONE), _SERVICES_STOP_S)
        self._supervisor.stop(("kafka", "redis"), _SERVERS_STOP_S)

    def kill(self) -> None:
        """End everything at once."""
        self._supervisor.kill()

    def _own_kafka(self) -> LocalKafka | None:
        if "kafka" in self.settings.model_fields_set:
            self._narrator.line(f"ok  using the Kafka at {self.settings.kafka} (PENSTOCK_KAFKA)")
            return None
        program = trained(find_java(), kafka_jars(self._narrator), self._narrator, self._watchdog)
        return LocalKafka(program, self.folder / "kafka", self._kafka_port, self._watchdog)

    def _start_kafka(self, kafka: LocalKafka) -> None:
        def start() -> Child:
            kafka.start()
            return kafka.child

        with self._narrator.step(f"starting Kafka on {kafka.bootstrap}"):
            self._supervisor.start("kafka", start)

    def _start_redis(self) -> str:
        if self.settings.redis is not None:
            self._narrator.line("ok  using the Redis of PENSTOCK_REDIS")
            return self.settings.redis
        server = LocalRedis(self.folder / "redis", watchdog=self._watchdog)

        def start() -> Child:
            server.start()
            return server.child

        with self._narrator.step(f"starting Valkey on 127.0.0.1:{server.port}"):
            self._supervisor.start("redis", start)
        return server.url

    def _start_services(self, root: Path, given: Mapping[str, str], first: tuple[str, ...]) -> None:
        groups = [(name, (name,)) for name in SERVICES] if self.processes else [(ALL_IN_ONE, SERVICES)]
        for (name, members), port in zip(groups, free_ports(len(groups), self.settings.host), strict=True):
            self._health[name] = port
            environment = self._environment_of(root, {**given, "health_port": str(port)})
            command = (sys.executable, "-P", "-m", "services", *members)
            # The first time only: later ones must serve flags without Kafka, too.
            options = chain([first], repeat(()))
            log = self.folder / "logs" / f"{name}.log"

            def start(
                name: str = name,
                command: tuple[str, ...] = command,
                log: Path = log,
                environment: Mapping[str, str] = environment,
                options: Iterator[tuple[str, ...]] = options,
            ) -> Child:
                child = Child(name, (*command, *next(options)), log, self._watchdog)
                child.start(environment)
                return child

            self._supervisor.start(name, start)

    def _environment_of(self, root: Path, given: Mapping[str, str]) -> dict[str, str]:
        # A local stack listens on loopback only, and its subscribers are usually there too.
        local = {"PENSTOCK_ALLOW_PRIVATE_WEBHOOKS": "true"} if self.settings.host == "127.0.0.1" else {}
        local |= {variable_of("instance"): instance_name(self.folder)}
        # The command line's token is none of the services' business.
        inherited = {name: value for name, value in self._environment.items() if name != "PENSTOCK_TOKEN"}
        ours = {variable_of(field): value for field, value in given.items()}
        state = {variable_of("state"): str(self.folder)}
        return {**local, **inherited, **ours, **state, "PYTHONPATH": str(root), "PYTHONUNBUFFERED": "1"}

    def _await_ready(self) -> None:
        deadline = time.monotonic() + _READY_S
        while not self.ready():
            interrupts.check()
            for name in self._supervisor.dead:
                child = self._supervisor.child(name)
                words = child.last_words()
                raise UnavailableError(f"{name} ended at its start; it said:\n{words}\nIts log: {child.log}")
            if time.monotonic() > deadline:
                waiting = [name for name, port in self._health.items() if not _answers(self.settings.host, port)]
                raise UnavailableError(
                    f"not ready within {_READY_S:.0f} s: {', '.join(waiting)}; their logs are in {self.folder / 'logs'}"
                )
            time.sleep(0.03)


def _answers(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
