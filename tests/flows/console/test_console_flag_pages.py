"""The dashboard's flag pages from what flag control says, by whichever door the flag was defined; else unknown."""

import httpx

from penstock.chain import Document
from penstock.events import (
    FlagSubmitted,
    KillRequested,
    RollbackStarted,
    RolloutAnnounced,
    StageEntered,
    UndoRequested,
)
from services.flag_control.decide import decide
from tests.support.builders import an
from tests.support.console.app import ConsoleApp

TARGET = an(RolloutAnnounced).target
DEFINITION = {
    "variants": {"off": "Pay", "a": "Pay now"},
    "split": {"a": 1},
    "segments": {"staff": [{"attribute": "email", "ends_with": "@example.com"}]},
    "lifecycle": {"owner": "team-payments", "type": "experiment", "created": "2026-03-02", "expires": "2027-01-31"},
}


async def page_after(*requests) -> str:
    """Only what flag control says in public: a request at its own endpoint is never on `commands`."""
    console = ConsoleApp()
    state: Document = {}
    for request in requests:
        decision = decide(TARGET, state, request)
        state = decision.document
        for event in decision.events:
            console.hear("flag-changes", event)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(console.app), base_url="http://console") as http:
        return (await http.get(f"/flags/{TARGET}")).text


async def test_a_flag_defined_at_flag_controls_own_endpoint_is_shown_with_type_expiry_and_variants():
    page = await page_after(an(FlagSubmitted, target=TARGET, definition=DEFINITION))
    assert "<dt>Type</dt><dd>experiment</dd>" in page
    assert "<dt>Expires</dt><dd>2027-01-31</dd>" in page
    assert "<dt>Owner</dt><dd>team-payments</dd>" in page
    assert "<code>a</code> = Pay now" in page
    assert "<dt>Segments</dt><dd>staff</dd>" in page


async def test_a_flag_made_by_its_first_rollout_is_a_release_and_expires_as_releases_do():
    page = await page_after(an(RolloutAnnounced))
    assert "<dt>Type</dt><dd>release</dd>" in page
    assert "<dt>Created</dt><dd>2026-03-02</dd><dt>Expires</dt><dd>2026-04-11</dd>" in page
    assert "<code>on</code> = True" in page


async def test_going_back_shows_the_earlier_definition_and_a_permanent_flag_never_expires():
    permanent = {"variants": {"on": True, "off": False}, "lifecycle": {"type": "kill-switch"}}
    page = await page_after(
        an(FlagSubmitted, id="one", target=TARGET, definition=permanent),
        an(FlagSubmitted, id="two", target=TARGET, definition=DEFINITION),
        an(UndoRequested, id="three", target=TARGET, kill=None, version=1),
    )
    assert "<dt>Type</dt><dd>kill-switch</dd>" in page
    assert "<dt>Expires</dt><dd>never</dd>" in page
    assert "<dt>Segments</dt>" not in page


async def test_a_flag_that_nothing_names_is_not_found_and_offers_no_kill_switch():
    console = ConsoleApp()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(console.app), base_url="http://console") as http:
        answer = await http.get("/flags/production/shop/made-up")
    assert answer.status_code == 404
    assert "there is no flag production/shop/made-up" in answer.text
    assert "Kill this flag" not in answer.text


async def test_a_kill_shows_what_it_took_away_and_is_not_offered_twice():
    page = await page_after(
        an(RolloutAnnounced),
        an(StageEntered, id="wide", exposure=0.95, audience={}),
        an(KillRequested, id="kill-1", target=TARGET),
        an(RollbackStarted, id="back"),
    )
    assert "95 % → 0 %" in page
    assert "stays at 0 %" in page
    assert "0 % → 0 %" not in page.replace("95 % → 0 %", "")
    assert "penstock flags kill" not in page
    assert "Killed: everyone gets the safe variant" in page
