"""Fixtures of the real stack: one Kafka and one Valkey a test session, on free ports, with fresh data folders.

A test that stops or kills a server takes one of its own (`own_kafka`, `own_redis`), so that no other test sees it gone.
"""

import asyncio
import re
import secrets
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from penstock.errors import UnavailableError
from penstock.local.kafka.aot import trained
from penstock.local.kafka.broker import LocalKafka, Program
from penstock.local.kafka.jars import kafka_jars
from penstock.local.kafka.java import find_java
from penstock.local.processes import Watchdog
from penstock.local.progress import Narrator
from penstock.local.redis import LocalRedis, find_server
from penstock.settings import Settings

OwnKafka = Callable[[], LocalKafka]
OwnRedis = Callable[[], LocalRedis]


@pytest.fixture(scope="session")
def watchdog() -> Iterator[Watchdog]:
    """What kills the servers if the test run itself is killed."""
    watchdog = Watchdog()
    yield watchdog
    watchdog.close()


@pytest.fixture(scope="session")
def kafka_program(watchdog: Watchdog) -> Program:
    """Java, the checked jars and the trained start cache; skips where they cannot be had."""
    try:
        return trained(find_java(), kafka_jars(Narrator(quiet=True)), Narrator(quiet=True), watchdog)
    except UnavailableError as error:
        pytest.skip(f"no Kafka here: {error}")


@pytest.fixture(scope="session")
def kafka(kafka_program: Program, watchdog: Watchdog, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    """The broker that all tests of the session share; use topics below `topic_prefix` only."""
    broker = LocalKafka(kafka_program, tmp_path_factory.mktemp("kafka"), watchdog=watchdog)
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture(scope="session")
def valkey_server(watchdog: Watchdog, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRedis]:
    """The server for Redis clients that all tests of the session share; take `valkey`, which empties it."""
    try:
        find_server()
    except UnavailableError as error:
        pytest.skip(str(error))
    server = LocalRedis(tmp_path_factory.mktemp("redis"), watchdog=watchdog)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def valkey(valkey_server: LocalRedis) -> Iterator[LocalRedis]:
    """The shared server, empty again after the test."""
    import redis

    yield valkey_server
    with redis.Redis.from_url(valkey_server.url) as client:
        client.flushall()


@pytest.fixture
def topic_prefix(request: pytest.FixtureRequest) -> str:
    """A prefix that no other test has."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:40].strip("-")
    return f"{name}-{secrets.token_hex(3)}."


@pytest.fixture
async def stack_settings(
    kafka: LocalKafka, valkey: LocalRedis, topic_prefix: str, tmp_path: Path
) -> AsyncIterator[Settings]:
    """Settings of services on the shared servers: ports 0, own state folder and topics, removed afterwards."""
    yield settings_on(kafka, valkey, topic_prefix, tmp_path)
    await delete_topics(kafka.bootstrap, topic_prefix)


@pytest.fixture
def own_kafka(kafka: LocalKafka, watchdog: Watchdog, tmp_path: Path) -> Iterator[OwnKafka]:
    """Starts brokers for this test alone, which it may stop, kill and start again."""
    with ExitStack() as stack:

        def start() -> LocalKafka:
            broker = LocalKafka(kafka.program, tmp_path / f"kafka-{secrets.token_hex(3)}", watchdog=watchdog)
            _format_as(kafka, broker)
            stack.callback(broker.kill)
            broker.start()
            return broker

        yield start


@pytest.fixture
def own_redis(watchdog: Watchdog, tmp_path: Path) -> Iterator[OwnRedis]:
    """Starts Redis servers for this test alone, which it may stop, kill and start again."""
    with ExitStack() as stack:

        def start() -> LocalRedis:
            server = LocalRedis(tmp_path / f"redis-{secrets.token_hex(3)}", watchdog=watchdog)
            stack.callback(server.kill)
            server.start()
            return server

        yield start


def _format_as(formatted: LocalKafka, new: LocalKafka) -> None:
    # Formatting takes a Java machine of its own, and comes out the same but for the ids.
    metadata = "__cluster_metadata-0"
    (new.folder / "data" / metadata).mkdir(parents=True)
    for name in ("meta.properties", f"{metadata}/{0:020}-{0:010}.checkpoint"):
        shutil.copy(formatted.folder / "data" / name, new.folder / "data" / name)


def settings_on(kafka: LocalKafka, redis: LocalRedis | None, prefix: str, state: Path) -> Settings:
    """Return settings for services on these servers, every port 0."""
    ports = dict.fromkeys(("console_port", "otlp_port", "ofrep_port", "sync_port", "health_port"), 0)
    servers = {"kafka": kafka.bootstrap, "redis": redis.url if redis else None}
    return Settings.model_validate(
        {**servers, **ports, "topic_prefix": prefix, "state": state / "state", "allow_private_webhooks": True}
    )


async def delete_topics(bootstrap: str, prefix: str) -> None:
    """Delete every topic below the prefix: left behind, partitions slow every later start and stop."""
    from aiokafka.admin import AIOKafkaAdminClient

    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        topics = [name for name in await admin.list_topics() if name.startswith(prefix)]
        if topics:
            await admin.delete_topics(topics)
    finally:
        await admin.close()


async def eventually(condition: Callable[[], bool], what: str, patience: float = 20.0) -> None:
    """Return once the condition holds.

    Raises:
        AssertionError: it did not within `patience` seconds.
    """
    deadline = asyncio.get_running_loop().time() + patience
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, f"not within {patience:.0f} s: {what}"
        await asyncio.sleep(0.05)
