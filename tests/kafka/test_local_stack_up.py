"""`penstock up` as a person runs it, with no Java and no Docker on the PATH: what starts, what stays, what is left."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from penstock.local.kafka.broker import LocalKafka, Program
from penstock.local.redis import LocalRedis
from penstock.local.stack import SERVICES
from tests.support.stack import delete_topics

PATIENCE_S = 60.0
PORTS = {f"PENSTOCK_{name}_PORT": "0" for name in ("CONSOLE", "OTLP", "OFREP", "SYNC")}


class Up:
    """A running `penstock up`; everything that it starts can be told by its state folder."""

    def __init__(self, folder: Path, *options: str, **environment: str) -> None:
        self.state = folder / "state"
        self.folder = folder
        nothing = folder / "nothing-on-the-path"
        nothing.mkdir(exist_ok=True)
        kept = {name: os.environ[name] for name in ("HOME", "XDG_CACHE_HOME", "PYTHONPATH") if name in os.environ}
        given = {**kept, **PORTS, "PATH": str(nothing), "PENSTOCK_STATE": str(self.state), **environment}
        self.words = folder / "stderr"
        with self.words.open("a") as stderr:
            command = [sys.executable, "-m", "penstock.cli", "up", "--json", *options]
            self.process = subprocess.Popen(command, env=given, stdout=subprocess.PIPE, stderr=stderr, text=True)

    def note(self) -> dict[str, Any]:
        """Return what it prints when it is ready."""
        assert self.process.stdout
        lines: list[str] = []
        for line in self.process.stdout:
            lines.append(line)
            if line.rstrip() == "}":
                return dict(json.loads("".join(lines)))
        raise AssertionError(f"it ended: {self.words.read_text()}")

    def pid(self, name: str) -> int:
        """Return the process id in the state folder, 0 without one."""
        try:
            return int((self.state / "pids" / f"{name}.pid").read_text() or 0)
        except FileNotFoundError:
            return 0

    def runs_anew(self, name: str, before: int) -> bool:
        """Return whether another process than `before` has that name now."""
        return self.pid(name) not in (0, before)

    def left(self) -> list[str]:
        """Return the processes that belong to this stack and still run."""
        mark = str(self.state).encode()
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            try:
                said = (place / "cmdline").read_bytes() + (place / "environ").read_bytes()
                ended = (place / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
            except OSError:
                continue
            if mark in said and not ended:
                found.append(said.replace(b"\0", b" ").decode()[:200])
        return found

    def end(self) -> None:
        """Make sure of the end, whatever the test found."""
        self.process.kill()
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()


Starter = Callable[..., Up]


@pytest.fixture
def start(tmp_path: Path, kafka_program: Program) -> Iterator[Starter]:
    """Starts `up` on one state folder; Kafka's jars and start cache are there."""
    started: list[Up] = []

    def start(*options: str, **environment: str) -> Up:
        started.append(Up(tmp_path, *options, **environment))
        return started[-1]

    yield start
    for up in started:
        up.end()
    wait_until(lambda: not any(up.left() for up in started), "nothing is left")


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE_S:.0f} s: {what}"
        time.sleep(0.05)


async def test_what_was_written_is_there_at_the_next_start_and_nothing_runs_in_between(start: Starter) -> None:
    up = start("--kafka-port", "0")
    note = up.note()
    async with httpx.AsyncClient(base_url=note["server"]) as console:
        assert (await console.get("/health/ready")).status_code == 200
        # The printed token writes: the plan is read, and refused for what is wrong with it.
        assert (await console.post("/api/plans", content=b"plan: none")).status_code == 401
        authorization = {"Authorization": f"Bearer {note['token']}"}
        assert (await console.post("/api/plans", content=b"plan: none", headers=authorization)).status_code == 422
    await write(note["kafka"], b"kept")
    with redis.Redis.from_url(note["redis"]) as view:
        view.set("kept", "yes")
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(PATIENCE_S) == 0
    assert up.left() == []
    name = (up.state / "instance").read_text().strip()
    assert "stopped" in up.words.read_text()
    note = start("--kafka-port", "0").note()
    assert [folder.name for folder in (up.state / "flag_control").iterdir()] == [name], "kills are spooled under it"
    assert await read(note["kafka"]) == b"kept"
    with redis.Redis.from_url(note["redis"]) as view:
        assert view.get("kept") == b"yes"
    # They start beside Kafka and wait for it, rather than to serve what they served last.
    assert "away" not in (up.state / "logs" / "services.log").read_text()


def test_one_process_a_service_each_comes_back_after_kill_9_and_goes_with_the_parent(start: Starter) -> None:
    up = start("--kafka-port", "0", "--processes")
    up.note()
    first = {name: up.pid(name) for name in (*SERVICES, "kafka", "redis")}
    assert len({pid for pid in first.values() if pid}) == len(SERVICES) + 2
    for name in ("gate_evaluation", "kafka", "redis"):
        os.kill(first[name], signal.SIGKILL)
    for name in ("gate_evaluation", "kafka", "redis"):
        wait_until(partial(up.runs_anew, name, first[name]), f"{name} runs again")
        assert f"{name} ended (signal 9); starting it again" in up.words.read_text()
    assert up.pid("rollout_control") == first["rollout_control"]
    os.kill(up.process.pid, signal.SIGKILL)
    up.process.wait()
    wait_until(lambda: not up.left(), "nothing is left")


async def test_existing_servers_are_used_where_they_are_named(
    start: Starter, kafka: LocalKafka, valkey: LocalRedis, topic_prefix: str
) -> None:
    servers = {"PENSTOCK_KAFKA": kafka.bootstrap, "PENSTOCK_REDIS": valkey.url}
    up = start(**servers, PENSTOCK_TOPIC_PREFIX=topic_prefix)
    note = up.note()
    assert (note["kafka"], note["redis"]) == (kafka.bootstrap, valkey.url)
    assert up.pid("services")
    assert (up.pid("kafka"), up.pid("redis")) == (0, 0)
    up.process.send_signal(signal.SIGTERM)
    assert up.process.wait(PATIENCE_S) == 0
    assert kafka.child.alive
    await delete_topics(kafka.bootstrap, topic_prefix)


def test_a_taken_port_is_said_with_the_variable_that_moves_it(start: Starter) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        up = start(PENSTOCK_CONSOLE_PORT=str(taken.getsockname()[1]))
        assert up.process.wait(PATIENCE_S) == 6
    assert "set PENSTOCK_CONSOLE_PORT to another port" in up.words.read_text()
    assert up.left() == []


async def write(bootstrap: str, value: bytes) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic("kept", 1, 1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        await producer.send_and_wait("kept", value)


async def read(bootstrap: str) -> bytes | None:
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False) as consumer:
        partition = TopicPartition("kept", 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        value: bytes | None = (await consumer.getone()).value
        return value
