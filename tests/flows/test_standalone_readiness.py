"""The standalone server tells a balancer when its file is gone, and serves on what it has."""

import asyncio
import json
from pathlib import Path

import httpx

from services.flag_control.standalone.server import Options, serving
from tests.support.flags.sets import boolean

GOOD = json.dumps({"flags": {"a": boolean()}})


async def becomes(client: httpx.AsyncClient, status: int, **named: object) -> None:
    """Wait for that readiness; the flag is served all the time, also for a targeting key that is no text."""
    wanted = (status, {"ready": status == 200, **named})
    found: tuple[int, object] = (0, None)
    for _ in range(100):
        answer = await client.get("/health/ready")
        found = (answer.status_code, answer.json())
        if found == wanted:
            break
        await asyncio.sleep(0.05)
    assert found == wanted
    answer = await client.post("/ofrep/v1/evaluate/flags/a", json={"context": {"targetingKey": 7}})
    assert (answer.status_code, answer.json()["variant"]) == (200, "off")


async def test_readiness_follows_the_file_and_evaluation_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "flags.json"
    path.write_text(GOOD)
    async with (
        serving(Options([path], ofrep_port=0, sync_port=0), lambda _: None) as served,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{served.http.port}") as client,
    ):
        await becomes(client, 200)
        path.unlink()
        await becomes(client, 503, missing=[str(path)])
        path.write_text(GOOD)
        await becomes(client, 200)
        path.write_text("{")
        await becomes(client, 200, refused=[str(path)])
        path.write_text(GOOD)
        await becomes(client, 200)
