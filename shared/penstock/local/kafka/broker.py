"""One Kafka broker as a child process: KRaft on one node, data below a folder, ready in about a second."""

import asyncio
import logging
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from penstock.errors import UnavailableError
from penstock.local.kafka.java import Java
from penstock.local.ports import free_ports, wait_open
from penstock.local.processes import Child, Watchdog, stop_all

FLAGS = ("-Xms96m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
"""Small and quick to start; an AOT cache is only taken by the flags that it was trained with."""

_ONCE = "replication.factor=1", "min.isr=1", "num.partitions=1"
PROPERTIES = (
    "process.roles=broker,controller",
    "node.id=1",
    "listener.security.protocol.map=CLIENT:PLAINTEXT,PROXY:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "inter.broker.listener.name=CLIENT",
    "controller.listener.names=CONTROLLER",
    "auto.create.topics.enable=false",
    "offsets.topic.replication.factor=1",
    "offsets.topic.num.partitions=1",
    *(f"transaction.state.log.{one}" for one in _ONCE),
    *(f"share.coordinator.state.topic.{one}" for one in _ONCE),
    "group.initial.rebalance.delay.ms=0",
    "group.min.session.timeout.ms=1000",
    "log.cleaner.dedupe.buffer.size=4194304",
    "message.max.bytes=8388608",
    # Otherwise a killed broker waits 9 s for its own old session.
    "broker.session.timeout.ms=1000",
    "broker.heartbeat.interval.ms=200",
)
_NEEDED_BYTES = 300_000_000


@dataclass(frozen=True)
class Program:
    """What runs a broker: Java, the class path, and an AOT cache if there is one."""

    java: Java
    jars: tuple[Path, ...]
    aot: Path | None = None

    def command(self, main: str, scratch: Path, *arguments: str, options: Sequence[str] = ()) -> list[str]:
        """Return the command line of a main class; native libraries are unpacked into `scratch`."""
        cache = (f"-XX:AOTCache={self.aot}",) if self.aot else ()
        return [
            str(self.java.path),
            *FLAGS,
            *cache,
            *options,
            f"-Djava.io.tmpdir={scratch}",
            f"-Dorg.xerial.snappy.tempdir={scratch}",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-cp",
            os.pathsep.join(map(str, self.jars)),
            main,
            *arguments,
        ]


class LocalKafka:
    """A broker whose data stays in `folder` between starts.

    Args:
        port: of clients; 0 takes a free one, and keeps it for later starts of this object.
        proxy_port: port that a second listener advertises, for a fault proxy of the tests in front of `proxy_target`.
    """

    def __init__(
        self,
        program: Program,
        folder: Path,
        port: int = 0,
        watchdog: Watchdog | None = None,
        proxy_port: int | None = None,
    ) -> None:
        self.program, self.folder = program, folder.absolute()
        free = free_ports(3)
        self.port = port or free[0]
        self.proxy_target, self._controller_port = free[1:]
        self._proxy_port = proxy_port or self.proxy_target
        self._watchdog = watchdog
        self.child = Child("kafka", (), self.folder / "kafka.log", watchdog)

    @property
    def bootstrap(self) -> str:
        """Address for clients."""
        return f"127.0.0.1:{self.port}"

    def start(self, patience: float = 60.0, options: Sequence[str] = ()) -> None:
        """Format the folder if it is new, start the broker and return when it answers.

        Raises:
            UnavailableError: it did not start; includes its last output.
        """
        require_space(self.folder)
        scratch = self._fresh_scratch()
        if not (self.folder / "data" / "meta.properties").exists():
            self._format(scratch)
        properties = self._write_properties("server.properties", self.folder / "data")
        self._rotate_log()
        command = self.program.command("kafka.Kafka", scratch, str(properties), options=options)
        self.child = Child("kafka", command, self.folder / "kafka.log", self._watchdog)
        deadline = time.monotonic() + patience
        self.child.start(folder=self.folder)
        try:
            answers = wait_open(self.port, deadline, self._alive) and _describes(self.bootstrap, deadline, self._alive)
        except BaseException:
            self.child.kill()
            raise
        if not answers:
            ended = self.child.exit_code
            self.child.kill()
            what = f"ended with code {ended}" if ended is not None else f"did not answer within {patience:.0f} s"
            raise UnavailableError(
                f"the local Kafka {what}; it said:\n{self.child.last_words()}\n"
                f"The whole log is {self.child.log}. If its data is damaged, move {self.folder} away and start again"
            )

    def stop(self, seconds: float = 4.0) -> None:
        """End it in order, by force after `seconds`."""
        stop_all([self.child], seconds)

    def kill(self) -> None:
        """kill -9; `start` then recovers from the data."""
        self.child.kill()

    def _alive(self) -> bool:
        return self.child.alive

    def _format(self, scratch: Path) -> None:
        # Formatted aside and renamed: a folder with data is whole, whenever we are killed.
        fresh = self.folder / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        properties = self._write_properties("format.properties", fresh)
        cluster = _cluster_id(os.urandom(16))
        arguments = ("format", "--config", str(properties), "--cluster-id", cluster, "--ignore-formatted")
        command = self.program.command("kafka.tools.StorageTool", scratch, *arguments)
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode != 0:
            raise UnavailableError(
                f"Kafka's data folder {self.folder} could not be made:\n{(done.stdout + done.stderr)[-1500:]}"
            )
        properties.unlink()
        shutil.rmtree(self.folder / "data", ignore_errors=True)
        fresh.rename(self.folder / "data")

    def _write_properties(self, name: str, data: Path) -> Path:
        lines = [
            *PROPERTIES,
            f"controller.quorum.voters=1@127.0.0.1:{self._controller_port}",
            f"listeners=CLIENT://{self.bootstrap},PROXY://127.0.0.1:{self.proxy_target},"
            f"CONTROLLER://127.0.0.1:{self._controller_port}",
            f"advertised.listeners=CLIENT://{self.bootstrap},PROXY://127.0.0.1:{self._proxy_port}",
            f"log.dirs={data}",
        ]
        path = self.folder / name
        path.write_text("\n".join(lines) + "\n")
        return path

    def _fresh_scratch(self) -> Path:
        # A killed JVM leaves its unpacked libraries behind.
        scratch = self.folder / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        return scratch

    def _rotate_log(self) -> None:
        log = self.folder / "kafka.log"
        if log.exists() and log.stat().st_size > 5_000_000:
            log.replace(log.with_suffix(".log.1"))


def require_space(folder: Path) -> None:
    """Do nothing if there is room for a broker's data in the folder, which is made.

    Raises:
        UnavailableError: there is not, or it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise UnavailableError(
            f"the folder {folder} cannot be written ({error.strerror}); set PENSTOCK_STATE to one that can"
        ) from None
    if free < _NEEDED_BYTES:
        raise UnavailableError(
            f"the disk of {folder} has {free / 1e6:.0f} MB free and Kafka needs {_NEEDED_BYTES / 1e6:.0f}: "
            "free some space, or set PENSTOCK_STATE to a folder with room"
        )


def _cluster_id(random: bytes) -> str:
    import base64

    # An id that begins with a dash would be read as another option.
    return base64.urlsafe_b64encode(b"\x00" + random[1:]).decode().rstrip("=")


def _describes(bootstrap: str, deadline: float, alive: Callable[[], bool]) -> bool:
    # In a thread of its own: the caller may or may not have an event loop. A daemon: Ctrl-C does not wait for it.
    answers: list[bool] = []
    thread = threading.Thread(
        target=lambda: answers.append(asyncio.run(_describe_until(bootstrap, deadline, alive))), daemon=True
    )
    thread.start()
    thread.join()
    return any(answers)


async def _describe_until(bootstrap: str, deadline: float, alive: Callable[[], bool]) -> bool:
    from aiokafka.admin import AIOKafkaAdminClient
    from aiokafka.errors import KafkaError

    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    while time.monotonic() < deadline and alive():
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=2000)
        try:
            await admin.start()
            described = await admin.describe_cluster()
            if described["brokers"]:
                return True
        except (KafkaError, OSError):
            await asyncio.sleep(0.05)
        finally:
            await admin.close()
    return False
