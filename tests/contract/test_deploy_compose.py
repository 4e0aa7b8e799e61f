"""compose.yaml against the settings and the tables of services and topics; no container engine is needed."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from penstock.local.kafka.broker import PROPERTIES
from penstock.local.kafka.jars import VERSION
from penstock.local.stack import SERVICES
from penstock.settings import Settings, load_settings, variable_of
from penstock.topics import ALL
from services.runtime.process.process import NAMES

ROOT = Path(__file__).parents[2]
BESIDE = {"kafka", "valkey", "collector"}
PORTS = {
    "console": {"console_port"},
    "metric_ingestion": {"otlp_port"},
    "flag_control": {"ofrep_port", "sync_port"},
}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The file as a container engine reads it, with no variable set by the user."""
    text = (ROOT / "compose.yaml").read_text()
    text = re.sub(r"\$\{(\w+):\?[^}]*\}", "./tokens.yaml", text)
    document: dict[str, Any] = yaml.safe_load(re.sub(r"\$\{\w+:-([^}]*)\}", lambda found: found[1] or '""', text))
    return document


def test_every_service_is_there_and_nothing_else_of_ours(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) - BESIDE == set(NAMES)


def test_the_local_stack_runs_the_same_services() -> None:
    assert SERVICES == NAMES


def test_every_producer_and_consumer_of_a_topic_is_there(compose: dict[str, Any]) -> None:
    named = {name for topic in ALL for name in (*topic.producers, *topic.consumers)} - {"external", "any"}
    assert named <= set(compose["services"])


@pytest.mark.parametrize("name", NAMES)
def test_a_service_is_built_with_its_own_name(compose: dict[str, Any], name: str) -> None:
    build = compose["services"][name]["build"]
    assert build["args"] == {"SERVICE": name}
    assert (ROOT / build["context"] / build["dockerfile"]).is_file()


@pytest.mark.parametrize("name", NAMES)
def test_the_environment_of_a_service_loads_as_settings(compose: dict[str, Any], name: str) -> None:
    given = {key: str(value) for key, value in compose["services"][name]["environment"].items()}
    settings = load_settings(given)
    assert settings.kafka == "kafka:9092"
    assert settings.redis == "redis://valkey:6379/0"
    assert settings.otlp_endpoint is None
    assert settings.allow_private_webhooks is False


def test_only_services_whose_name_must_outlive_a_container_are_named_so_that_the_others_scale(
    compose: dict[str, Any],
) -> None:
    given = {name: compose["services"][name]["environment"].get("PENSTOCK_INSTANCE") for name in NAMES}
    named = {name: instance for name, instance in given.items() if instance}
    assert named == {"flag_control": "flag_control", "metric_ingestion": "metric_ingestion"}


@pytest.mark.parametrize("name", NAMES)
def test_published_ports_are_those_of_the_settings_and_on_loopback(compose: dict[str, Any], name: str) -> None:
    published = set(compose["services"][name].get("ports", ()))
    wanted = {Settings.model_fields[field].default for field in PORTS.get(name, set())}
    assert published == {f"127.0.0.1:{port}:{port}" for port in wanted}


@pytest.mark.parametrize("name", NAMES)
def test_a_service_waits_for_healthy_servers_and_keeps_its_state(compose: dict[str, Any], name: str) -> None:
    service = compose["services"][name]
    assert service["depends_on"] == {each: {"condition": "service_healthy"} for each in ("kafka", "valkey")}
    assert service["volumes"] == [f"{name}:/state"]
    assert name in compose["volumes"]
    assert service.get("secrets", []) == (["tokens"] if name in PORTS else [])
    assert ("PENSTOCK_TOKENS" in service["environment"]) is (name in PORTS)
    assert service["read_only"] is True


def test_servers_have_health_checks_and_volumes(compose: dict[str, Any]) -> None:
    for name in ("kafka", "valkey"):
        assert compose["services"][name]["healthcheck"]["test"]
        assert name in compose["volumes"]


def test_kafka_is_the_version_of_the_local_stack_and_never_makes_topics_by_itself(compose: dict[str, Any]) -> None:
    kafka = compose["services"]["kafka"]
    assert kafka["image"] == f"apache/kafka:{VERSION}"
    assert kafka["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"


def test_kafka_takes_the_largest_message_of_the_topics(compose: dict[str, Any]) -> None:
    largest = max(int(topic.config()["max.message.bytes"]) for topic in ALL)
    assert int(compose["services"]["kafka"]["environment"]["KAFKA_MESSAGE_MAX_BYTES"]) >= largest


def test_kafka_is_set_as_the_local_broker_where_both_set_the_same(compose: dict[str, Any]) -> None:
    local = dict(line.split("=", 1) for line in PROPERTIES)
    for variable, value in compose["services"]["kafka"]["environment"].items():
        name = variable.removeprefix("KAFKA_").lower().replace("_", ".")
        if name in local and "listener" not in name:
            assert str(value) == local[name], variable


def test_the_collector_is_optional_and_sends_metrics_to_the_intake(compose: dict[str, Any]) -> None:
    assert compose["services"]["collector"]["profiles"] == ["telemetry"]
    config = yaml.safe_load((ROOT / compose["configs"]["collector"]["file"]).read_text())
    port = Settings.model_fields["otlp_port"].default
    assert config["exporters"]["otlphttp/penstock"]["endpoint"] == f"http://metric_ingestion:{port}"
    for pipeline in config["service"]["pipelines"].values():
        for kind in ("receivers", "processors", "exporters"):
            assert set(pipeline[kind]) <= set(config[kind])


def test_variables_that_the_file_takes_from_the_user_are_settings() -> None:
    taken = set(re.findall(r"\$\{(\w+)", (ROOT / "compose.yaml").read_text()))
    assert taken <= {variable_of(field) for field in Settings.model_fields}


def _has_compose() -> bool:
    docker = shutil.which("docker")
    return bool(docker) and subprocess.run([str(docker), "compose", "version"], capture_output=True).returncode == 0


# Defined only where the client is: it is a second opinion on what the tests above hold, so its absence is no gap.
if _has_compose():

    def test_the_compose_client_accepts_the_file(tmp_path: Path) -> None:
        tokens = tmp_path / "tokens.yaml"
        tokens.write_text("tokens: []\n")
        done = subprocess.run(
            ["docker", "compose", "--file", str(ROOT / "compose.yaml"), "--profile", "telemetry", "config", "--quiet"],
            env={**os.environ, "PENSTOCK_TOKENS": str(tokens)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
