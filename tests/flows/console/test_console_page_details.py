"""Details that decide whether a page answers its reader: outcomes, approvals, reasons first, and wrong addresses."""

import httpx
import pytest
from aiokafka import ConsumerRecord

from penstock.events import RolloutCompleted, StageApproved, StagePassed, Why
from tests.support.console.app import ConsoleApp
from tests.support.console.story import STAGES, Teller, awaiting, baking

HTML = {"accept": "text/html,application/xhtml+xml"}


def told(teller: Teller) -> ConsoleApp:
    console = ConsoleApp()
    for topic, event in teller.events:
        console.hear(topic, event)
    return console


async def page(console: ConsoleApp, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(console.app), base_url="http://console") as http:
        return await http.get(path, headers=headers)


@pytest.mark.parametrize("why", [Why.INCONCLUSIVE, Why.BOUNDED])
async def test_a_completed_rollout_does_not_give_an_undecided_bake_as_its_reason(why: Why) -> None:
    teller = Teller("cart", "1.9.2", 6)
    teller.announce(STAGES)
    for index, stage in enumerate(STAGES):
        teller.enter(stage.name, index, stage.exposure)
        teller.move(StagePassed, Why.GATES_PASSED, stage=stage.name)
    teller.move(RolloutCompleted, why)
    console = told(teller)
    (book,) = console.projection.books()
    text = (await page(console, f"/rollouts/{book.id}")).text
    assert '<p class="verdict">1.9.2 has reached everyone.</p>' in text
    assert "without a verdict" not in text


async def test_an_approved_stage_names_who_approved_it_when_and_why() -> None:
    teller = awaiting()
    before = (await page(told(teller), f"/rollouts/{teller.rollout}")).text
    assert "needs approval by release-manager" in before
    assert "Approved by" not in before
    given = teller.move(StageApproved, Why.APPROVED, {"text": "Looks good"}, stage="half", missing=0, actor="bob")
    after = (await page(told(teller), f"/rollouts/{teller.rollout}")).text
    assert "Approved by bob, " in after
    assert f"{given.time:%Y-%m-%d %H:%M:%S} UTC</time>: <q>Looks good</q>" in after
    assert "needs approval by release-manager" not in after


async def test_unknown_paths_answer_browsers_with_a_page_and_programs_with_json() -> None:
    console = ConsoleApp()
    for path in ("/nosuch", "/rollouts", "/static/nosuch.css", "/api/nosuch"):
        shown = await page(console, path, HTML)
        assert shown.status_code == 404, path
        assert shown.headers["content-type"].startswith("text/html"), path
        assert '<html lang="en">' in shown.text
        assert "<title>Page not found" in shown.text
        program = await page(console, path)
        assert (program.status_code, program.headers["content-type"]) == (404, "application/json"), path
    assert "<script>" not in (await page(console, "/<script>", HTML)).text


async def test_a_wrong_type_lists_the_types() -> None:
    console = told(baking())
    shown = (await page(console, "/events?types=rollback.startd")).text
    assert "No event type matches <code>rollback.startd</code>" in shown
    assert "Did you mean <code>rollback.started</code>?" in shown
    assert "<code>stage.judged</code>" in shown
    right = (await page(console, "/events?types=rollback.started")).text
    assert "No event type matches" not in right
    answer = await page(console, "/api/events?types=stage.*,nosuch")
    assert answer.status_code == 422
    assert "'nosuch' matches no event type; there are: " in answer.json()["problems"][0]["what"]
    assert (await page(console, "/api/stream?types=nosuch")).status_code == 422


async def test_the_reason_of_a_dead_letter_comes_first_with_its_time() -> None:
    console = ConsoleApp()
    headers = [("reason", b"event: 1 problem\n- subject: has no id"), ("service", b"console"), ("origin-topic", b"t")]
    at = 1772460000000
    console.letters.receive(ConsumerRecord("dead-letters", 0, 0, at, 0, None, b"{}", 0, 0, 0, headers))
    shown = (await page(console, "/dead-letters")).text
    summary = shown[shown.index("<summary>") : shown.index("</summary>")]
    assert summary.index("subject: has no id") < summary.index("2026-03-02 14:00:00 UTC") < summary.index("<code>")
    assert "1 problem" not in summary


async def test_actions_stand_before_the_record_in_tab_order() -> None:
    teller = baking()
    text = (await page(told(teller), f"/rollouts/{teller.rollout}")).text
    assert text.index('id="h-gates"') < text.index('id="h-act"') < text.index('id="h-record"')
