"""Every page renders whatever its rollouts are like: bare releases, no plan any more, nothing heard at all."""

import httpx
import pytest

from penstock.events import BY_TYPE, RollbackEscalated, RollbackStarted, RolloutAnnounced, from_json
from tests.support.builders import an, example
from tests.support.console.app import ConsoleApp
from tests.support.console.story import TELLERS, project, rolled_back

PATHS = (
    "/",
    "/events",
    "/events?types=*",
    "/events?types=stage.judged&since=10m",
    "/flags",
    "/plans",
    "/dead-letters",
    "/login",
)


def client(console):
    return httpx.AsyncClient(transport=httpx.ASGITransport(console.app), base_url="http://console")


async def assert_all_render(console):
    async with client(console) as http:
        for book in console.projection.books():
            page = await http.get(f"/rollouts/{book.id}")
            assert page.status_code == 200, book.id
        for path in PATHS:
            assert (await http.get(path)).status_code == 200, path


async def test_pages_render_with_nothing_heard():
    await assert_all_render(ConsoleApp())


@pytest.mark.parametrize("teller", TELLERS)
async def test_pages_render_after_every_single_event(teller):
    console = ConsoleApp()
    async with client(console) as http:
        for topic, event in teller().events:
            console.hear(topic, event)
            for book in console.projection.books():
                page = await http.get(f"/rollouts/{book.id}")
                assert page.status_code == 200, f"{event.type} of {book.id}"
            assert (await http.get("/")).status_code == 200, event.type


async def test_pages_render_with_every_type_of_event():
    console = ConsoleApp()
    console.hear("rollouts", an(RolloutAnnounced))
    for event_type in BY_TYPE:
        console.hear("any", from_json(example(event_type)))
    await assert_all_render(console)


async def test_a_rollout_whose_plan_no_longer_loads_is_shown_as_damaged():
    console = ConsoleApp()
    announced = an(RolloutAnnounced, plan_text="version: 9")
    console.hear("rollouts", announced)
    async with client(console) as http:
        page = await http.get(f"/rollouts/{announced.rollout}")
    assert page.status_code == 200
    assert "cannot be read" in page.text


async def test_an_escalation_is_shown_until_recovery():
    console = ConsoleApp()
    teller = rolled_back()
    for topic, event in teller.events:
        console.hear(topic, event)
        if isinstance(event, RollbackStarted):
            break
    console.hear("rollback-progress", an(RollbackEscalated, target=teller.target, rollout=teller.rollout))
    async with client(console) as http:
        page = (await http.get(f"/rollouts/{teller.rollout}")).text
        overview = (await http.get("/")).text
    assert "paged a person" in page
    assert overview.index("h-attention") < overview.index("shop 2.4.0") < overview.index("h-running")


async def test_what_people_write_is_never_markup():
    console = ConsoleApp()
    evil = "<script>alert(1)</script>"
    release = {"service": "shop", "version": evil, "notes": f"javascript:alert(1)//{evil}", "author": evil}
    announced = an(RolloutAnnounced, release=release)
    console.hear("rollouts", announced)
    async with client(console) as http:
        for path in ("/", f"/rollouts/{announced.rollout}", f"/events?types={evil}", f"/rollouts/{evil}"):
            text = (await http.get(path)).text
            assert evil not in text
            assert 'href="javascript:' not in text


async def test_a_page_that_is_not_there_is_a_page_that_says_so():
    async with client(ConsoleApp(project())) as http:
        answer = await http.get("/rollouts/ro-none")
    assert answer.status_code == 404
    assert "no rollout ro-none" in answer.text
