"""Every service with a Kafka user of its own, allowed what `penstock topics acls` lists and nothing else."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.acls import ROLES, SERVICES, acls
from penstock.errors import AppendError
from penstock.events import RollbackRequested
from penstock.events.cloudevents import to_kafka
from penstock.local.kafka.broker import Program
from penstock.settings import Settings
from services.console.app import Console
from services.runtime.kafka.appender import Appender
from services.runtime.kafka.connection import ensure_topics
from services.runtime.kafka.reader import Heard, PublicReader
from services.runtime.process import process
from services.runtime.process.process import build
from services.runtime.process.service import Service
from tests.support.deciders.slice import deploy
from tests.support.metrics.ingestion import tokens_file
from tests.support.metrics.windows import moment
from tests.support.plans import TARGET
from tests.support.secured import PASSWORD, SecuredKafka, allow
from tests.support.stack import eventually, settings_on

PREFIX = "shop."


def user_of(role: str) -> str:
    return f"u-{role.replace('_', '-')}"


@pytest.fixture
def secured(kafka_program: Program, tmp_path: Path) -> Iterator[SecuredKafka]:
    broker = SecuredKafka(kafka_program, tmp_path / "kafka", [user_of(role) for role in (*ROLES, "stranger")])
    broker.start()
    yield broker
    broker.kill()


def settings_of(role: str, broker: SecuredKafka, folder: Path) -> Settings:
    password = folder / "password"
    password.write_text(PASSWORD)
    return settings_on(broker, None, PREFIX, folder / role).model_copy(
        update={
            "kafka": broker.secured,
            "kafka_security": "SASL_PLAINTEXT",
            "kafka_username": user_of(role),
            "kafka_password_file": password,
            "tokens": tokens_file(folder),
            "instance": role.replace("_", "-"),
        }
    )


async def test_all_services_start_and_a_rollout_runs_and_is_rolled_back(secured: SecuredKafka, tmp_path: Path) -> None:
    await allow(secured.bootstrap, acls({role: f"User:{user_of(role)}" for role in ROLES}, PREFIX))
    running: dict[str, Service] = {}
    heard: list[Heard] = []
    watcher = settings_on(secured, None, PREFIX, tmp_path)
    collector = Appender(settings_of("collector", secured, tmp_path))
    try:
        for name in SERVICES:
            running[name] = build(name, settings_of(name, secured, tmp_path))
            await running[name].start()
        reader = PublicReader(watcher, ["rollouts", "rollback-progress", "flag-served", "dead-letters"], heard.append)
        await reader.start()
        console = running["console"]
        assert isinstance(console, Console)
        await console.publish("deploys", deploy())
        await eventually(lambda: _has(heard, "stage.entered"), "the stage is entered")
        ask = RollbackRequested(
            id="c1", source="/console", target=TARGET, time=moment(9), actor="bob", reason="because", roles=("operate",)
        )
        await console.publish("commands", ask)
        await eventually(lambda: _has(heard, "exposure.contained"), "it is rolled back", patience=40)
        await collector.start()
        await collector.append_and_wait("otlp_metrics", 0, None, b"\xff no OTLP")
        await eventually(lambda: all(service.ready() and service.alive() for service in running.values()), "all live")
        with pytest.raises(AppendError, match="TopicAuthorizationFailed"):
            await collector.append_and_wait("commands", 0, *to_kafka(ask)[:2])
        await reader.stop()
    finally:
        await collector.stop()
        for service in reversed(running.values()):
            await service.stop()


async def test_a_user_without_rules_is_told_so_and_starts_once_it_has_them(
    secured: SecuredKafka, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await ensure_topics(settings_on(secured, None, PREFIX, tmp_path))
    settings = settings_of("stranger", secured, tmp_path)
    copy = process.Copy("rollout_control", lambda: build("rollout_control", settings))
    starting = process.begin(copy.start())
    try:
        await eventually(lambda: copy.waits.startswith("refused by Kafka"), "the refusal is named")
        assert "penstock topics acls" in copy.waits
        assert "waits for Kafka" not in caplog.text
        await allow(secured.bootstrap, acls({"rollout_control": f"User:{user_of('stranger')}"}, PREFIX))
        await eventually(lambda: copy.started, "it goes on with its rules")
    finally:
        starting.cancel()
        await copy.stop()


def _has(heard: list[Heard], kind: str) -> bool:
    return any(one.event.type == kind for one in heard)
