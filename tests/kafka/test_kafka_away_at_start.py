"""Services that start before their Kafka: the process waits, says so, and is ready once Kafka is there."""

import asyncio
from pathlib import Path
from typing import Any

import httpx

from penstock.local.ports import free_ports
from penstock.local.processes import Watchdog
from tests.support.deciders.faults import Processes
from tests.support.stack import OwnKafka, settings_on


async def test_a_process_of_several_services_outlasts_a_kafka_that_comes_after_it(
    own_kafka: OwnKafka, watchdog: Watchdog, tmp_path: Path
) -> None:
    broker = own_kafka()
    broker.stop()
    (health,) = free_ports(1)
    settings = settings_on(broker, None, "", tmp_path).model_copy(update={"health_port": health})
    processes = Processes(settings, tmp_path, watchdog)
    processes.start("rollout_control", "flag_control", "notification")
    (child,) = processes.children.values()
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{health}") as client:
            waiting = await until(client, lambda status, said: "flag_control" not in said.get("waiting", {}))
            assert waiting.keys() == {"ready", "waiting"}
            assert set(waiting["waiting"]) == {"rollout_control", "notification"}
            assert (await client.get("/health/live")).status_code == 200
            await asyncio.to_thread(broker.start)
            ready = await until(client, lambda status, said: status == 200)
        assert ready == {"ready": True}
        assert child.alive
    finally:
        processes.close()
    assert "waits for Kafka and goes on once it answers: no Kafka at" in child.log.read_text()


async def until(client: httpx.AsyncClient, condition: Any) -> dict[str, Any]:
    """Return the readiness answer that meets the condition."""
    said: dict[str, Any] = {}
    async with asyncio.timeout(60):
        while True:
            try:
                answer = await client.get("/health/ready")
                said = answer.json()
                if condition(answer.status_code, said):
                    return said
            except httpx.HTTPError:
                pass
            await asyncio.sleep(0.1)
