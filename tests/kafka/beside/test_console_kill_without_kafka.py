"""The dashboard's kill switch with the broker dead: it holds at once, the page says so, and says what is missing."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from penstock.settings import Settings
from services.console.app import Console
from services.runtime.process.service import system_clock
from tests.support.deciders.slice import deploy
from tests.support.flags.world import TOKEN, exposed, exposure_is, flag_control, pair_of, with_tokens, world
from tests.support.plans import TARGET
from tests.support.stack import OwnKafka, eventually, settings_on

PLACE = f"/flags/{TARGET}"


@asynccontextmanager
async def console(settings: Settings) -> AsyncIterator[Console]:
    service = Console(settings, system_clock)
    await service.start()
    try:
        yield service
    finally:
        await service.stop()


async def signed_in(http: httpx.AsyncClient) -> str:
    await http.post("/login", data={"token": TOKEN, "then": "/"})
    found = re.search(r'name="csrf" value="(\w+)"', (await http.get(PLACE)).text)
    assert found is not None
    return found[1]


async def page_says(http: httpx.AsyncClient, wanted: str) -> None:
    for _ in range(300):
        text = (await http.get(PLACE)).text
        if wanted in text:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"the flag's page never said {wanted!r}: {text}")


async def test_the_dashboard_kills_on_two_instances_with_kafka_dead_and_shows_the_record_once_it_is_back(
    own_kafka: OwnKafka, topic_prefix: str, tmp_path: Path
) -> None:
    broker = own_kafka()
    common = with_tokens(settings_on(broker, None, topic_prefix, tmp_path), tmp_path)
    one, two = pair_of(common)
    seen_by = common.model_copy(update={"flags_server": f"http://127.0.0.1:{one.ofrep_port}"})
    async with (
        world(common) as around,
        flag_control(one) as first,
        flag_control(two) as second,
        console(seen_by) as dashboard,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{dashboard.port}", timeout=30) as http,
    ):
        await around.publish("deploys", deploy())
        await eventually(lambda: len(around.said("exposure.changed")) >= 2, "the first stage is exposed")
        await exposure_is(first, 1, 199)
        await exposure_is(second, 1, 199)
        await eventually(dashboard.ready, "the console is ready")
        broker.kill()
        csrf = await signed_in(http)
        first_step = await http.post(f"{PLACE}/kill", data={"csrf": csrf, "reason": "payments fail"})
        assert first_step.status_code == 200
        assert await exposed(first) > 0, "a reason alone kills nothing"
        key = re.search(r'name="key" value="(\w+)"', first_step.text)
        assert key is not None
        form = {"csrf": csrf, "reason": "payments fail", "key": key[1], "token": TOKEN}
        done = await http.post(f"{PLACE}/kill", data=form)
        assert done.status_code == 200, done.text
        assert "In force on 2 of 2 instances" in done.text
        assert "not recorded yet" in done.text
        assert (await exposed(first), await exposed(second)) == (0, 0)
        again = await http.post(f"{PLACE}/kill", data=form)
        kill = re.search(r"<code>([0-9a-f]{32})</code>", done.text)
        assert kill is not None
        assert kill[1] in again.text, "loading the page again asks for the same kill"
        assert (await http.get("/flags")).status_code == 200
        assert dashboard.alive()
        broker.start()
        await eventually(lambda: bool(around.said("flag.killed")), "the kill is recorded", patience=60)
        assert {event.kill for event in around.said("flag.killed")} == {kill[1]}
        await page_says(http, kill[1])
        lift = {"csrf": csrf, "reason": "fine again", "key": "lift", "token": TOKEN, "kill": kill[1]}
        lifted = await http.post(f"{PLACE}/undo", data=lift)
        assert lifted.status_code == 200, lifted.text
        assert f"Kill {kill[1]} is lifted." in lifted.text
