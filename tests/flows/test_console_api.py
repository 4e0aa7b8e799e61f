"""The console's HTTP API over a projection that the test feeds: reads, intake, commands, streams, refusals."""

import asyncio
import json
from datetime import timedelta

import httpx
import pytest

from penstock.events import CommandRefused, PlanRegistered, RolloutHeld
from penstock.events.cloudevents import to_structured
from penstock.ids import rollout_id
from services.console.http_api.security import HEADERS
from services.console.read_models.entries import Wanted
from tests.support.builders import an, deployed
from tests.support.console.app import ConsoleApp
from tests.support.console.story import awaiting, baking, project, rolled_back
from tests.support.plans import SHORT, TARGET

CI, OLGA, ANN, PAT = ({"authorization": f"Bearer {who}-token"} for who in ("ci", "olga", "ann", "pat"))


def structured(document, **changes):
    context = document["context"]
    attributes = {"specversion": "1.0", "id": context["id"], "source": context["source"], "type": context["type"]}
    return {**attributes, "data": document, **changes}


def refusal(teller, event):
    """What rollout control says to a request that it does not grant."""
    return an(CommandRefused, id=f"re-{event.id}", target=teller.target, rollout=teller.rollout, cause=event.id)


@pytest.fixture
def console():
    return ConsoleApp(project())


@pytest.fixture
async def http(console):
    transport = httpx.ASGITransport(console.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://console") as client:
        yield client


async def test_rollouts_are_listed_newest_first_and_filtered(http):
    everything = (await http.get("/api/rollouts")).json()["rollouts"]
    assert len(everything) == 6
    assert [view["updated_at"] for view in everything] == sorted((v["updated_at"] for v in everything), reverse=True)
    held = (await http.get("/api/rollouts", params={"phase": "held"})).json()["rollouts"]
    assert [view["phase"] for view in held] == ["held"]
    assert len((await http.get("/api/rollouts", params={"limit": 2})).json()["rollouts"]) == 2


@pytest.mark.parametrize("query", ["phase=nonsense", "limit=0", "limit=x", "limit=99999999999999999999"])
async def test_a_query_that_means_nothing_is_refused_not_guessed(http, query):
    answer = await http.get(f"/api/rollouts?{query}")
    assert answer.status_code == 422
    assert answer.json()["problems"]


async def test_a_rollout_that_is_not_there_is_not_found(http):
    assert (await http.get("/api/rollouts/ro-none")).status_code == 404
    assert (await http.post("/api/rollouts/ro-none/hold", json={"reason": "x"}, headers=OLGA)).status_code == 404


async def test_the_record_of_a_rollout_has_places_and_causes_before_effects(http):
    rows = (await http.get(f"/api/rollouts/{rolled_back().rollout}/events")).json()["events"]
    types = [row["event"]["type"] for row in rows]
    assert types.index("rollback.started") < types.index("exposure.contained") < types.index("rollback.completed")
    assert set(rows[0]) == {"topic", "partition", "offset", "event"}


async def test_a_rollout_is_told_in_the_words_of_the_standard(http):
    said = (await http.get(f"/api/rollouts/{rolled_back().rollout}/cdevents")).json()["cdevents"]
    assert [document["context"]["type"] for document in said] == [
        "dev.cdevents.incident.detected.0.3.0",
        "dev.cdevents.incident.resolved.0.3.0",
    ]


@pytest.mark.parametrize("send", ["bare", "structured", "binary", "batch"])
async def test_a_deploy_in_any_mode_is_published_to_its_target(http, console, send):
    document = deployed(planText=SHORT)
    match send:
        case "bare":
            answer = await http.post("/events", json=document, headers=CI)
        case "structured":
            kind = {"content-type": "application/cloudevents+json"}
            answer = await http.post("/events", content=json.dumps(structured(document)), headers={**CI, **kind})
        case "binary":
            ce = {f"ce-{name}": value for name, value in structured(document).items() if name != "data"}
            answer = await http.post("/events", json=document, headers={**CI, **ce})
        case _:
            kind = {"content-type": "application/cloudevents-batch+json"}
            answer = await http.post("/events", content=json.dumps([structured(document)]), headers={**CI, **kind})
    assert answer.status_code == 202
    assert answer.json()["accepted"] == [{"id": "d-1", "target": TARGET, "rollout": rollout_id("/ci", "d-1", TARGET)}]
    ((topic, event),) = console.published
    assert (topic, event.type, event.actor, event.plan_text) == ("deploys", "deploy.announced", "ci", SHORT)


async def test_in_a_batch_the_good_are_taken_and_each_bad_one_is_told(http, console):
    batch = [structured(deployed(1, planText=SHORT)), {"id": "x"}, structured(deployed(2, planText="version: 2"))]
    kind = {"content-type": "application/cloudevents-batch+json"}
    answer = await http.post("/events", content=json.dumps(batch), headers={**CI, **kind})
    assert answer.status_code == 422
    assert [accepted["id"] for accepted in answer.json()["accepted"]] == ["d-1"]
    places = {problem["where"].partition(".")[0] for problem in answer.json()["problems"]}
    assert places == {"1", "2"}
    assert len(console.published) == 1


async def test_every_problem_of_a_deploy_is_told_at_once_with_the_plans_lines(http, console):
    broken = SHORT.replace("exposure: 25%", "exposure: 25").replace("version: 1\n", "version: 1\nunknown: 1\n", 1)
    document = structured(deployed(planText=broken, planned="x"), id="another id")
    answer = await http.post("/events", content=json.dumps(document), headers=CI)
    problems = answer.json()["problems"]
    assert answer.status_code == 422
    assert {problem["where"] for problem in problems} >= {"context.id", "customData.penstock.planned"}
    assert any(problem["line"] == 2 and "unknown" in problem["where"] for problem in problems)
    assert not console.published


async def test_a_plan_must_exist_for_the_target(http, console):
    missing = await http.post("/events", json=deployed(plan="none-such"), headers=CI)
    assert "no plan 'none-such'" in missing.json()["problems"][0]["what"]
    elsewhere = await http.post("/events", json=deployed(flag="other", planText=SHORT), headers=CI)
    assert "is a plan for staging/shop/banner" in elsewhere.json()["problems"][0]["what"]
    registered = await http.post("/events", json=deployed(plan=TARGET), headers=CI)
    assert registered.status_code == 202


async def test_without_a_plan_the_targets_only_one_is_taken(http, console):
    fresh = ConsoleApp()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(fresh.app), base_url="http://console") as client:
        assert (await client.post("/events", json=deployed(), headers=CI)).status_code == 422
        fresh.hear("rollouts", an(PlanRegistered, target=TARGET, name="banner", plan_text=SHORT))
        document = deployed()
        del document["customData"]["penstock"]["flag"]
        answer = await client.post("/events", json=document, headers=CI)
        assert answer.json()["accepted"][0]["target"] == TARGET


@pytest.mark.parametrize(
    ("headers", "status"), [({}, 401), ({"authorization": "Bearer wrong"}, 401), (OLGA, 403), (PAT, 403)]
)
async def test_publishing_takes_a_token_with_the_role(http, console, headers, status):
    answer = await http.post("/events", json=deployed(planText=SHORT), headers=headers)
    assert answer.status_code == status
    assert answer.json()["next"]
    assert not console.published


async def test_a_body_beyond_the_limit_is_refused(http):
    assert (await http.post("/events", content=b"x" * 5_000_000, headers=CI)).status_code == 413
    answer = await http.post(f"/api/rollouts/{baking().rollout}/hold", content=b"x" * 100_000, headers=OLGA)
    assert answer.status_code == 413


async def test_a_command_answers_with_the_event_that_it_caused(http, console):
    teller = baking()

    def control(topic, event):
        held = an(RolloutHeld, target=teller.target, rollout=teller.rollout, sequence=3, cause=event.id, stage="canary")
        asyncio.get_running_loop().call_soon(console.hear, "rollouts", held)

    console.on_publish = control
    body = {"reason": "look closer", "expected": {"stage": "canary", "sequence": 2}}
    answer = await http.post(f"/api/rollouts/{teller.rollout}/hold", json=body, headers=OLGA)
    assert answer.status_code == 200
    assert answer.json()["event"]["type"] == "rollout.held"
    assert answer.json()["rollout"]["phase"] == "held"
    ((topic, asked),) = console.published
    assert (topic, asked.type, asked.actor, asked.roles) == ("commands", "hold.requested", "olga", ("operator",))
    assert (asked.expected.stage, asked.expected.sequence) == ("canary", 2)


async def test_a_refusal_is_an_answer_with_the_present_state(http, console):
    teller = baking()

    def control(topic, event):
        asyncio.get_running_loop().call_soon(console.hear, "rollouts", refusal(teller, event))

    console.on_publish = control
    answer = await http.post(f"/api/rollouts/{teller.rollout}/promote", json={"reason": "x"}, headers=OLGA)
    assert answer.status_code == 409
    assert answer.json()["refusal"]["reason"] == "stale"
    assert answer.json()["rollout"]["sequence"] == 2


async def test_the_same_key_asks_once(http, console):
    teller = baking()
    console.on_publish = lambda topic, event: console.hear(
        "rollouts",
        an(CommandRefused, target=teller.target, rollout=teller.rollout, cause=event.id, id=f"re-{event.id}"),
    )
    keyed = {**OLGA, "idempotency-key": "k"}
    path = f"/api/rollouts/{teller.rollout}/hold"
    for _ in range(2):
        assert (await http.post(path, json={"reason": "x"}, headers=keyed)).status_code == 409
    assert len(console.published) == 1
    await http.post(path, json={"reason": "x"}, headers=OLGA)
    await http.post(path, json={"reason": "x"}, headers=OLGA)
    assert len(console.published) == 3


@pytest.mark.parametrize("body", [b"", b"{", b"{}", b'{"reason": ""}', b'{"reason": "x", "overide": true}', b"[1]"])
async def test_a_body_that_breaks_the_form_is_refused_with_its_problems(http, console, body):
    answer = await http.post(f"/api/rollouts/{baking().rollout}/promote", content=body, headers=OLGA)
    assert answer.status_code == 422
    assert answer.json()["problems"]
    assert not console.published


async def test_any_identity_may_ask_to_approve_for_the_plan_says_who_may(http, console):
    teller = awaiting()
    console.on_publish = lambda topic, event: console.hear(
        "rollouts",
        an(CommandRefused, target=teller.target, rollout=teller.rollout, cause=event.id, id=f"re-{event.id}"),
    )
    await http.post(f"/api/rollouts/{teller.rollout}/approve", json={"reason": "x"}, headers=ANN)
    assert console.published[0][1].roles == ("release-manager",)


async def test_a_plan_is_linted_and_registered(http, console):
    assert (await http.post("/api/plans/lint", content=SHORT)).json() == {"problems": []}
    broken = (await http.post("/api/plans/lint", content="version: 3")).json()["problems"]
    assert len(broken) > 3
    console.on_publish = lambda topic, event: console.hear("rollouts", an(PlanRegistered, cause=event.id, id="new"))
    answer = await http.post("/api/plans?reason=first", content=SHORT, headers=PAT)
    assert answer.json()["event"]["type"] == "plan.registered"
    assert console.published[0][1].plan_text == SHORT
    assert (await http.post("/api/plans", content="nonsense", headers=PAT)).status_code == 422
    assert (await http.post("/api/plans", content=SHORT, headers=CI)).status_code == 403


async def test_events_are_filtered_by_type_time_and_rollout(http):
    rows = (await http.get("/api/events", params={"types": "rollback.*,version.quarantined"})).json()["events"]
    assert {row["event"]["type"].partition(".")[0] for row in rows} == {"rollback", "version"}
    recent = (await http.get("/api/events", params={"since": "10s", "types": "stage.entered"})).json()["events"]
    assert [row["event"]["rollout"] for row in recent] == [baking().rollout]
    assert (await http.get("/api/events", params={"since": "yesterday"})).status_code == 422


async def first_messages(stream, count):
    found = []
    async for text in stream:
        for block in text.split("\n\n"):
            if "\ndata: " in f"\n{block}":
                fields = dict(line.split(": ", 1) for line in block.split("\n"))
                found.append((fields["id"], json.loads(fields["data"])))
        if len(found) >= count:
            await stream.aclose()
            return found
    return found


async def test_a_stream_resumes_where_it_broke_without_gap_or_repeat(console):
    everything = list(console.projection.entries(Wanted(("stage.*",))))
    since = everything[0].event.time
    start = await first_messages(console.hub.events(Wanted(("stage.*",), since=since), None), 5)
    last = start[4][0]
    rest = await first_messages(console.hub.events(Wanted(("stage.*",)), last), len(everything) - 5)
    ids = [data["event"]["id"] for _, data in start[:5] + rest]
    assert ids == [entry.event.id for entry in everything]


async def test_a_stream_of_another_life_of_the_console_has_no_gap(console):
    everything = list(console.projection.entries(Wanted()))
    middle = everything[len(everything) // 2]
    position = f"3.otherlife.{int(middle.event.time.timestamp() * 1000)}"
    overlap = [e for e in everything if e.event.time >= middle.event.time - timedelta(seconds=60)]
    found = await first_messages(console.hub.events(Wanted(), position), len(overlap))
    assert [data["event"]["id"] for _, data in found] == [entry.event.id for entry in overlap]
    assert len(overlap) < len(everything)


async def test_a_stream_says_what_comes_and_ends_with_the_hub(console):
    stream = console.hub.events(Wanted(("rollout.held",)), None)
    assert (await anext(stream)).startswith("retry:")
    console.hear("rollouts", an(PlanRegistered))
    console.hear("rollouts", an(RolloutHeld))
    assert json.loads((await anext(stream)).split("data: ")[1])["event"]["type"] == "rollout.held"
    console.hub.close()
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_every_answer_carries_the_security_headers(http):
    for path in ("/", "/api/rollouts", "/static/live.js", "/nowhere", "/api/rollouts/ro-none", "/login"):
        answer = await http.get(path)
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS, path


async def test_an_event_of_ours_cannot_be_slipped_in_through_the_intake(http, console):
    forged = to_structured(an(RolloutHeld))
    answer = await http.post("/events", json=forged, headers=CI)
    assert answer.status_code == 422
    assert not console.published
