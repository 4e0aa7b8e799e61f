"""The kill switch of the dashboard: reason, confirmation, own token; the answer as it is, or the next step."""

import json
import re

import httpx
import pytest

from penstock.events import FlagKilled, FlagServed, KillLifted
from services.console.flag_control_client import FlagControl
from tests.support.builders import an
from tests.support.console.app import ConsoleApp
from tests.support.console.story import baking, project

TARGET = baking().target
PLACE = f"/flags/{TARGET}"
KILLED = {
    "kill": "k1",
    "in_force": True,
    "recorded": False,
    "instances": {"killed": 2, "of": 3, "unreached": ["http://flags-2"]},
    "streams": {"connected": 41, "served": 41},
}


class FlagControlHere:
    def __init__(self, status=200, answer=None):
        self.asked, self.status, self.answer = [], status, KILLED if answer is None else answer

    def __call__(self, request):
        self.asked.append(request)
        if self.status is None:
            raise httpx.ConnectError("away")
        return httpx.Response(self.status, json=self.answer)


def world(there, who="olga"):
    control = FlagControl("http://flags.example", httpx.MockTransport(there))
    console = ConsoleApp(project(), flag_control=control)
    http = httpx.AsyncClient(transport=httpx.ASGITransport(console.app), base_url="http://console")
    return console, http


async def signed_in(http, who="olga"):
    await http.post("/login", data={"token": f"{who}-token", "then": "/"})
    return re.search(r'name="csrf" value="(\w+)"', (await http.get(PLACE)).text)[1]


def confirmation(csrf, **changes):
    return {"csrf": csrf, "reason": "payments fail", "key": "k", "token": "olga-token"} | changes


async def test_the_first_form_asks_nothing_of_flag_control_and_says_what_users_will_see():
    there = FlagControlHere()
    _, http = world(there)
    csrf = await signed_in(http)
    page = (await http.post(f"{PLACE}/kill", data={"csrf": csrf, "reason": "payments fail"})).text
    assert f"Kill {TARGET}?" in page
    assert "Everyone gets the safe variant" in page
    assert there.asked == []


async def test_a_confirmed_kill_goes_on_with_the_persons_own_token_and_says_on_how_many_instances_it_holds():
    there = FlagControlHere()
    _, http = world(there)
    page = (await http.post(f"{PLACE}/kill", data=confirmation(await signed_in(http)))).text
    (asked,) = there.asked
    assert str(asked.url) == f"http://flags.example/flags/{TARGET}/kill"
    assert asked.headers["authorization"] == "Bearer olga-token"
    assert asked.headers["idempotency-key"] == "k"
    assert json.loads(asked.content) == {"reason": "payments fail"}
    assert "In force on 2 of 3 instances; 41 of 41 streaming clients safe." in page
    assert "Not reached: http://flags-2" in page
    assert "The kill is not recorded yet" in page


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"csrf": "guess"}, 403),
        ({"token": "ann-token"}, 403),
        ({"token": "nobody"}, 403),
        ({"token": ""}, 403),
        ({"reason": " "}, 422),
    ],
)
async def test_without_the_session_the_reason_and_the_own_token_nothing_is_asked(changes, status):
    there = FlagControlHere()
    _, http = world(there)
    answer = await http.post(f"{PLACE}/kill", data=confirmation(await signed_in(http)) | changes)
    assert answer.status_code == status
    assert there.asked == []


async def test_an_identity_without_the_role_is_refused():
    there = FlagControlHere()
    _, http = world(there)
    form = confirmation(await signed_in(http, "ci"), token="ci-token")
    assert (await http.post(f"{PLACE}/kill", data=form)).status_code == 403
    assert there.asked == []


async def test_flag_control_away_is_said_with_the_next_step_and_its_address():
    _, http = world(FlagControlHere(status=None))
    answer = await http.post(f"{PLACE}/kill", data=confirmation(await signed_in(http)))
    assert answer.status_code == 503
    assert f"penstock flags kill {TARGET}" in answer.text
    assert "PENSTOCK_FLAGS_SERVER=http://flags.example" in answer.text


async def test_a_kill_is_lifted_by_its_id_and_a_refusal_is_told():
    there = FlagControlHere(409, {"error": "no kill 'k9' is in force"})
    _, http = world(there)
    answer = await http.post(f"{PLACE}/undo", data=confirmation(await signed_in(http), kill="k9"))
    assert json.loads(there.asked[0].content) == {"reason": "payments fail", "kill": "k9"}
    assert answer.status_code == 409
    assert "no kill &#39;k9&#39; is in force" in answer.text


async def test_the_page_shows_each_kill_in_force_until_it_is_lifted_and_who_was_sent_what():
    console, http = world(FlagControlHere())
    console.hear("flag-changes", an(FlagKilled, target=TARGET, kill="k1", reason="payments fail", version=50))
    console.hear("flag-served", an(FlagServed, target=TARGET, version=50, streams=41, served=41, elapsed_ms=18.0))
    await signed_in(http)
    page = (await http.get(PLACE)).text
    assert "Why lift kill <code>k1</code>?" in page
    assert "41 of 41 streaming clients have version 50 after 18 ms" in page.lower()
    console.hear("flag-changes", an(KillLifted, target=TARGET, kill="k1", version=51))
    page = (await http.get(PLACE)).text
    assert "Why lift kill" not in page
    assert "not known yet which clients have it" in page.lower()
