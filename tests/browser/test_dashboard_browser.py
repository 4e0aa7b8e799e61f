"""The dashboard in a real browser: whole without scripts, live with them, accessible, never in breach of its CSP."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from penstock.events import CommandRefused, RolloutHeld
from tests.support.builders import an
from tests.support.console.story import awaiting, baking, held, promoted, rolled_back, soaking

PAGES = {
    "overview": "/",
    "rolled back": f"/rollouts/{rolled_back().rollout}",
    "baking": f"/rollouts/{baking().rollout}",
    "held": f"/rollouts/{held().rollout}",
    "awaiting": f"/rollouts/{awaiting().rollout}",
    "soaking": f"/rollouts/{soaking().rollout}",
    "promoted": f"/rollouts/{promoted().rollout}",
    "events": "/events",
    "flags": "/flags",
    "flag": f"/flags/{rolled_back().target}",
    "plans": "/plans",
    "dead letters": "/dead-letters",
    "sign in": "/login",
}


def sign_in(page, who="root", then="/"):
    page.goto(f"/login?then={then}")
    page.fill("#token", f"{who}-token")
    page.click("main button")
    page.wait_for_url(f"**{then}")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_accessible_in_light_and_dark(page, name):
    page.goto(PAGES[name])
    page.evaluate("document.querySelectorAll('details').forEach(element => { element.open = true })")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        results = Axe().run(page)
        assert results.violations_count == 0, f"{scheme}: {results.generate_report()}"


def test_a_signed_in_page_with_its_forms_is_accessible(page):
    sign_in(page, then=PAGES["baking"])
    page.locator("#ask-promote summary").click()
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()


def test_the_overview_puts_what_needs_a_person_first(page):
    page.goto("/")
    heads = page.locator("h2").all_inner_texts()
    assert [re.sub(r"\s+\d+$", "", head) for head in heads] == ["Needs a person", "Running", "Ended"]
    expect(page.locator("section", has_text="Needs a person").locator("tbody tr")).to_have_count(2)
    expect(page.locator("tbody tr", has_text="shop 2.4.0")).to_contain_text("Rolled back")


def test_a_rollout_says_what_it_does_and_why(page):
    page.goto(PAGES["rolled back"])
    expect(page.locator(".verdict")).to_contain_text("Rolled back at 50 % (half)")
    expect(page.locator(".verdict")).to_contain_text("p99")
    expect(page.locator("#gates tbody tr").first).to_contain_text("Breach")
    expect(page.locator("#charts figure")).to_have_count(2)
    expect(page.locator("#record")).to_contain_text("rollback.started")


def test_a_page_is_whole_without_scripts(browser, served):
    context = browser.new_context(base_url=served.url, java_script_enabled=False)
    page = context.new_page()
    page.goto(PAGES["rolled back"])
    expect(page.locator(".verdict")).to_contain_text("Rolled back")
    expect(page.locator("#charts svg polyline")).to_have_count(2)
    expect(page.locator("#freshness")).to_contain_text("as of 14:30:00")
    context.close()


def test_a_change_arrives_without_loading_again(page, served):
    teller = baking()
    page.goto(PAGES["baking"])
    expect(page.locator("#freshness")).to_have_attribute("data-state", "live")
    page.evaluate("window.stayed = true")
    event = an(RolloutHeld, target=teller.target, rollout=teller.rollout, sequence=3, stage="canary")
    served.hear("rollouts", event)
    expect(page.locator("h1 .badge")).to_have_text("Held")
    expect(page.locator("#next")).to_contain_text("Waiting for a decision")
    assert page.evaluate("window.stayed") is True


def test_what_happens_between_rendering_and_following_is_not_missed(page, served):
    teller = baking()
    event = an(RolloutHeld, target=teller.target, rollout=teller.rollout, sequence=3, stage="canary")
    page.route("**/parts?after=*", lambda route: (served.hear("rollouts", event), route.continue_()))
    page.goto(PAGES["baking"])
    expect(page.locator("h1 .badge")).to_have_text("Held")


def test_typing_a_reason_is_not_lost_to_an_update(page, served):
    teller = baking()
    sign_in(page, then=PAGES["baking"])
    expect(page.locator("#freshness")).to_have_attribute("data-state", "live")
    page.locator("#ask-hold summary").click()
    page.fill("#why-hold", "the partner has a camp")
    event = an(RolloutHeld, target=teller.target, rollout=teller.rollout, sequence=3, stage="canary")
    served.hear("rollouts", event)
    expect(page.locator("h1 .badge")).to_have_text("Held")
    expect(page.locator("#why-hold")).to_have_value("the partner has a camp")


def test_a_form_asks_and_the_page_says_what_became_of_it(page, served):
    teller = baking()

    def control(topic, event):
        refused = an(CommandRefused, target=teller.target, rollout=teller.rollout, cause=event.id, detail="It moved.")
        served.console.hear("rollouts", refused)

    served.console.on_publish = control
    sign_in(page, "olga", PAGES["baking"])
    page.locator("#ask-hold summary").click()
    page.fill("#why-hold", "a campaign runs")
    page.locator("#ask-hold button").click()
    expect(page.locator(".said")).to_contain_text("Refused: It moved.")
    ((_, asked),) = served.console.published
    assert (asked.type, asked.reason, asked.actor) == ("hold.requested", "a campaign runs", "olga")
    assert (asked.expected.stage, asked.expected.sequence) == ("canary", 2)


def test_an_identity_without_the_role_is_told_so(page, served):
    sign_in(page, "ann", PAGES["baking"])
    page.locator("#ask-rollback summary").click()
    page.fill("#why-rollback", "x")
    page.locator("#ask-rollback button").click()
    expect(page.locator(".said")).to_contain_text("You need the role operator")
    assert served.console.published == []
    page.wrong.clear()  # Chromium reports the 403 itself as an error


def test_a_post_from_elsewhere_does_nothing(page, served):
    sign_in(page, "root", "/")
    answer = page.request.post(
        f"{served.url}/rollouts/{baking().rollout}/ask", form={"verb": "rollback", "reason": "x", "csrf": "guess"}
    )
    assert answer.status == 403
    assert served.console.published == []


def test_signing_out_ends_the_session(page):
    sign_in(page, "olga")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("link", name="Sign in")).to_be_visible()


def test_everything_can_be_reached_by_keyboard(page):
    sign_in(page, "root", PAGES["baking"])
    seen = set()
    for _ in range(80):
        page.keyboard.press("Tab")
        seen.add(page.evaluate("document.activeElement.innerText?.trim()"))
    assert {"Skip to content", "Rollouts", "Events", "Promote", "Hold", "Roll back", "Sign out", "Table"} <= seen


def test_no_style_or_script_stands_inline(page):
    for path in PAGES.values():
        page.goto(path)
        assert page.evaluate("document.querySelectorAll('[style], style, script:not([src])').length") == 0, path
        handlers = "[...document.querySelectorAll('*')].some(e => [...e.attributes].some(a => a.name.startsWith('on')))"
        assert page.evaluate(handlers) is False


def test_the_csp_check_can_fail(page):
    page.goto("/")
    page.evaluate("document.body.setAttribute('style', 'color: red')")
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<p style=\"color:red\">x</p>')")
    page.wait_for_timeout(200)
    assert any("CSP style-src" in text or "Content Security Policy" in text for text in page.wrong)
    page.wrong.clear()


def test_it_prints_on_paper_without_its_controls(page):
    sign_in(page, "root", PAGES["rolled back"])
    page.emulate_media(media="print")
    expect(page.locator(".verdict")).to_be_visible()
    expect(page.locator("nav")).to_be_hidden()
    assert page.pdf()[:4] == b"%PDF"
