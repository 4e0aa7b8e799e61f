"""The readiness answer names the targets that are held back."""

from collections.abc import Sequence

import httpx

from services.runtime.http.server import health_app
from services.runtime.process.service import Parked


async def readiness(ready: bool, parked: Sequence[Parked] = ()) -> httpx.Response:
    transport = httpx.ASGITransport(health_app(lambda: ready, lambda: True, lambda: parked))
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        return await client.get("/health/ready")


async def test_the_readiness_answer_names_parked_targets_and_where_the_record_stands() -> None:
    answer = await readiness(True, [Parked("test/one/flag", "rollout-log", 7)])
    assert answer.status_code == 200
    assert answer.json() == {
        "ready": True,
        "parked": [{"target": "test/one/flag", "log": "rollout-log", "offset": 7}],
    }


async def test_without_parked_targets_it_is_as_short_as_ever() -> None:
    answer = await readiness(False)
    assert (answer.status_code, answer.json()) == (503, {"ready": False})
