"""Canary secrets in every setting, header and address: none of them reaches a log, whatever the level."""

import asyncio
import base64
import io
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from penstock.egress import Egress
from penstock.settings import Settings
from services.runtime.process.logs import OneLine, configure, secrets_of

ROOT = Path(__file__).parents[2]
CANARY = "c4n4ry"
WEBHOOK = "whsec_" + base64.b64encode(f"{CANARY}-{'k' * 32}".encode()).decode()


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    kept = io.StringIO()
    configure(Settings(log_level="DEBUG"))
    handler = logging.StreamHandler(kept)
    handler.setFormatter(OneLine([f"{CANARY}-of-a-setting"]))
    root.handlers = [handler]
    yield kept
    root.handlers, root.level = handlers, level


URLS = [
    f"https://hooks.example/services/{CANARY}/x",
    f"https://hooks.example?token={CANARY}",
    f"https://user:{CANARY}@hooks.example/",
    f"https://{CANARY}@hooks.example",
    f"redis://:{CANARY}@valkey:6379/0",
    f"https://hooks.example/#{CANARY}",
    f"HTTPS://hooks.example/{CANARY}",
]
HEADERS = [
    f"Authorization: Bearer {CANARY}-{'x' * 20}",
    f"authorization=bearer {CANARY}",
    f"Authorization: Peer {CANARY}",
    f"OTEL_EXPORTER_OTLP_HEADERS=Authorization=Bearer%20{CANARY}",
    WEBHOOK,
    f"penstock_{CANARY}{'A' * 24}",
    f"eyJ{CANARY}.eyJ{CANARY}.{CANARY}",
    f"a setting: {CANARY}-of-a-setting",
]


@pytest.mark.parametrize("text", [*URLS, *HEADERS])
def test_no_message_argument_or_traceback_shows_a_secret(stream: io.StringIO, text: str) -> None:
    log = logging.getLogger("services.anything")
    log.info("calling %s now", text)
    log.error(f"({text})")
    try:
        raise RuntimeError(text)
    except RuntimeError:
        log.exception("failed")
    assert CANARY not in stream.getvalue().replace(WEBHOOK[6:], CANARY)
    assert stream.getvalue().count("\n") > 3


@pytest.mark.parametrize("url", URLS)
def test_the_host_of_an_address_stays_readable(stream: io.StringIO, url: str) -> None:
    logging.getLogger("services.anything").info("calling %s now", url)
    assert "hooks.example" in stream.getvalue() or "valkey:6379" in stream.getvalue()
    assert "now" in stream.getvalue()


async def test_httpx_logs_no_address(stream: io.StringIO) -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(204))
    async with httpx.AsyncClient(transport=transport) as client:
        await client.post(f"https://hooks.example/{CANARY}", headers={"authorization": f"Bearer {CANARY}"})
    egress = Egress(allow_private=True)
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever it is, it must not repeat the path
        await egress.post(f"http://127.0.0.1:{port}/{CANARY}", b"", {"webhook-signature": CANARY}, 2.0)
    server.close()
    await egress.close()
    logging.getLogger("services.x").warning("%s", caught.value)
    assert CANARY not in stream.getvalue()


def environment(folder: Path) -> dict[str, str]:
    """Return settings that each hold a canary, for processes whose Kafka is not there."""
    for name in ("password", "session.key"):
        (folder / name).write_text(f"{CANARY}-{name}-{'x' * 32}\n")
    (folder / "tokens.yaml").write_text("tokens: []\n")
    (folder / "subscribers.yaml").write_text(
        f"subscribers: [{{name: a, url: 'https://h.example/{CANARY}', types: ['*'], secret: {WEBHOOK}}}]\n"
    )
    ports = dict.fromkeys(("CONSOLE", "OTLP", "OFREP", "SYNC", "HEALTH"), "0")
    return {
        "PENSTOCK_KAFKA": "127.0.0.1:1",
        "PENSTOCK_KAFKA_SECURITY": "SASL_PLAINTEXT",
        "PENSTOCK_KAFKA_USERNAME": "penstock",
        "PENSTOCK_KAFKA_PASSWORD_FILE": str(folder / "password"),
        "PENSTOCK_REDIS": f"redis://user:{CANARY}-redis@127.0.0.1:1/0",
        "PENSTOCK_TOKENS": str(folder / "tokens.yaml"),
        "PENSTOCK_SESSION_KEY_FILE": str(folder / "session.key"),
        "PENSTOCK_SUBSCRIBERS": str(folder / "subscribers.yaml"),
        "PENSTOCK_PEERS": f"http://peer:{CANARY}-peer@127.0.0.1:1",
        "PENSTOCK_OTLP_ENDPOINT": f"http://127.0.0.1:1/{CANARY}-otlp",
        "PENSTOCK_TOKEN": f"{CANARY}-token",
        "PENSTOCK_STATE": str(folder / "state"),
        "PENSTOCK_LOG_LEVEL": "DEBUG",
        **{f"PENSTOCK_{name}_PORT": port for name, port in ports.items()},
    }


def test_all_services_with_canaries_in_every_setting_log_none(tmp_path: Path) -> None:
    given = {**{k: v for k, v in os.environ.items() if not k.startswith("PENSTOCK_")}, **environment(tmp_path)}
    command = [sys.executable, "-P", "-m", "services"]
    process = subprocess.Popen(
        command, env={**given, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.terminate()
    said, _ = process.communicate(timeout=30)
    assert said.strip(), "the services logged nothing: the test sees nothing"
    assert CANARY not in said.replace(WEBHOOK[6:], CANARY), said


def test_the_settings_secrets_are_known_to_the_filter(tmp_path: Path) -> None:
    values = {name.removeprefix("PENSTOCK_").lower(): value for name, value in environment(tmp_path).items()}
    found = "\n".join(secrets_of(Settings.model_validate(values)))
    for part in ("-password-", "-redis", "-token", "session.key", "h.example/"):
        assert part in found
    assert WEBHOOK in found
