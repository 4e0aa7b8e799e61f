"""Dead letters from list to redrive: each once, its reason first, published again once and only where that is safe."""

import asyncio

import httpx
import pytest
from aiokafka import ConsumerRecord

from penstock.errors import AppendError
from penstock.tokens import Identity, Tokens, digest_of
from services.console.read_models.dead_letters import DeadLetters, first_problem
from services.console.redrive import COUNT, FROM, MOST_REDRIVES
from services.runtime.kafka.dead_letters import dead_letter, origin_headers, original
from tests.support.console.app import ConsoleApp

OPERATOR = {"authorization": "Bearer olga-token"}
REFUSED = "event: 2 problems\n  subject.content: is missing\n  context.id: is empty"


@pytest.fixture
def console() -> ConsoleApp:
    return ConsoleApp()


def a_record(topic="deploy-intake", partition=3, offset=7, value=b'{"a": 1}', headers=()) -> ConsumerRecord:
    return ConsumerRecord(topic, partition, offset, 0, 0, b"key", value, None, 0, len(value), tuple(headers))


async def bury(console, service="console", reason=REFUSED, **record) -> None:
    await dead_letter(console.topics, service, a_record(**record), reason)


async def get(console, **query):
    async with client_of(console) as client:
        return (await client.get("/api/dead-letters", params=query)).json()["dead_letters"]


async def redrive(console, *ids, headers=OPERATOR):
    async with client_of(console) as client:
        body = {"ids": list(ids), "reason": "the plan is registered"}
        return await client.post("/api/dead-letters/redrive", json=body, headers=headers)


def client_of(console) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(console.app), base_url="http://console")


async def test_a_letter_is_listed_once_however_often_and_under_whichever_name_it_was_written(console):
    letters = DeadLetters("pre.")
    for number, topic in enumerate(("pre.deploy-intake", "deploy-intake", "pre.deploy-intake")):
        headers = origin_headers(topic, 3, 7, "console", REFUSED)
        letters.receive(ConsumerRecord("d", 0, number, 1000 + number, 1, b"k", b"x", None, 0, 1, tuple(headers)))
    (letter,) = letters.newest(10)
    assert (letter["place"], letter["times"], letters.received) == ("deploy-intake/3@7", 3, 1)
    assert (letter["received"][-9:-6], letter["last_received"][-9:-6]) == ("000", "002")
    assert letters.place_of("pre.deploy-intake/3@7") == letters.place_of("deploy-intake/3@7")


async def test_what_two_services_refused_and_for_whatever_reasons_is_all_there(console):
    await bury(console, topic="commands", service="flag_control", reason="one")
    await bury(console, topic="commands", service="rollout_control", reason="two")
    await bury(console, topic="commands", service="rollout_control", reason="three")
    found = {(letter["service"], letter["reason"]) for letter in await get(console)}
    assert found == {("flag_control", "one"), ("rollout_control", "two"), ("rollout_control", "three")}


@pytest.mark.parametrize(
    ("reason", "problem"),
    [
        (REFUSED, "subject.content: is missing (and 1 more)"),
        ("event: 1 problem\n  is not JSON", "is not JSON"),
        ("event: 1 problem", "event: 1 problem"),
        ("it is not JSON\nmore", "it is not JSON"),
        ("", "-"),
    ],
)
def test_the_first_problem_is_in_words(reason, problem):
    assert first_problem(reason) == problem


async def test_the_list_is_newest_first_and_filtered(console):
    await bury(console, offset=1)
    console.now = console.now.replace(year=console.now.year + 1)
    await bury(console, offset=2, topic="otlp_metrics", service="metric_ingestion", value=b"\xff\x00")
    assert [letter["place"] for letter in await get(console)] == ["otlp_metrics/3@2", "deploy-intake/3@1"]
    assert [letter["offset"] for letter in await get(console, topic="deploy-intake")] == [1]
    assert [letter["offset"] for letter in await get(console, service="metric_ingestion")] == [2]
    (recent,) = await get(console, since="1h")
    assert (recent["offset"], recent["base64"]) == (2, "/wA=")
    assert next(iter(recent)) == "reason"
    async with client_of(console) as client:
        assert (await client.get("/api/dead-letters", params={"since": "soon"})).status_code == 422


async def test_a_redriven_input_is_as_it_was_but_for_its_mark_and_only_once(console):
    await bury(console, headers=[("ce_id", b"1"), ("topic", b"theirs"), ("raw", b"\xff")])
    (result,) = (await redrive(console, "deploy-intake/3@7")).json()["results"]
    assert result["outcome"] == "redriven"
    (sent,) = console.topics.records["deploy-intake"]
    assert (sent.key, sent.value, sent.partition) == (b"key", b'{"a": 1}', 3)
    theirs = (("ce_id", b"1"), ("topic", b"theirs"), ("raw", b"\xff"))
    assert sent.headers == (*theirs, (COUNT, b"1"), (FROM, b"deploy-intake/3@7"))
    (letter,) = await get(console)
    assert letter["redriven"]["by"] == "olga"
    assert letter["redriven"]["reason"] == "the plan is registered"

    (again,) = (await redrive(console, "deploy-intake/3@7")).json()["results"]
    assert again["outcome"] == "repeated"
    assert "redriven already, by olga" in again["detail"]
    assert len(console.topics.records["deploy-intake"]) == 1

    restarted = DeadLetters()
    for record in console.topics.records["dead-letters"]:
        restarted.receive(record)
    (known,) = restarted.newest(10)
    assert (known["redriven"]["by"], restarted.received) == ("olga", 1)


async def test_two_requests_at_once_publish_one_record(console):
    await bury(console)
    await asyncio.gather(*(redrive(console, "deploy-intake/3@7") for _ in range(5)))
    assert len(console.topics.records["deploy-intake"]) == 1


async def test_an_input_that_is_refused_again_each_time_does_not_loop(console):
    await bury(console)
    place, results = "deploy-intake/3@7", []
    for number in range(MOST_REDRIVES + 1):
        (result,) = (await redrive(console, place)).json()["results"]
        results.append(result["outcome"])
        if result["outcome"] == "redriven":
            sent = console.topics.records["deploy-intake"][-1]
            assert dict(sent.headers)[COUNT] == str(number + 1).encode()
            refused = a_record(offset=100 + number, headers=sent.headers)
            await dead_letter(console.topics, "console", refused, REFUSED)
            place = f"deploy-intake/3@{100 + number}"
    assert results == ["redriven"] * MOST_REDRIVES + ["refused"]


@pytest.mark.parametrize(
    ("topic", "service", "words"),
    [
        ("rollout-log", "rollout_control", "a log record cannot be redriven; its input can"),
        ("rollout-log.snapshots", "rollout_control", "a log record cannot be redriven"),
        ("commands", "flag_control", "ask again as yourself"),
        ("rollouts", "notification", "come from Penstock itself"),
        ("elsewhere", "console", "is no topic of Penstock"),
        ("deploys", "notification", "rollout_control has not refused it"),
    ],
)
async def test_what_cannot_be_redriven_is_refused_in_words(console, topic, service, words):
    await bury(console, topic=topic, service=service)
    (result,) = (await redrive(console, f"{topic}/3@7")).json()["results"]
    assert result["outcome"] == "refused"
    assert words in result["detail"]
    assert set(console.topics.records) == {"dead-letters"}


async def test_unknown_places_are_refused_one_by_one_and_the_others_are_redriven(console):
    await bury(console)
    answer = await redrive(console, "nonsense", "deploy-intake/1@1", "deploy-intake/3@7", "a/1@\u0661")
    assert [one["outcome"] for one in answer.json()["results"]] == ["refused", "refused", "redriven", "refused"]


async def test_a_letter_that_holds_only_a_part_is_read_at_its_origin(console):
    await bury(console, reason="too large (9 bytes: the first 2 are kept here, the whole record is at its origin)")
    (gone,) = (await redrive(console, "deploy-intake/3@7")).json()["results"]
    assert "send it again" in gone["detail"]
    console.topics.records["deploy-intake"] = [a_record(value=b"the whole")]
    assert (await redrive(console, "deploy-intake/3@7")).json()["results"][0]["outcome"] == "redriven"
    assert console.topics.records["deploy-intake"][-1].value == b"the whole"


async def test_a_deploy_that_its_decider_refused_is_read_at_its_origin_and_never_if_forged(console):
    await bury(console, topic="deploys", service="rollout_control", value=b'{"source": "deploys"}')
    console.topics.records["deploys"] = [a_record("deploys", value=b"as it was", headers=[("penstock-seal", b"old")])]
    console.topics.problem = "it carries no seal: another program wrote it"
    (forged,) = (await redrive(console, "deploys/3@7")).json()["results"]
    assert forged["outcome"] == "refused"
    assert len(console.topics.records["deploys"]) == 1
    console.topics.problem = None
    assert (await redrive(console, "deploys/3@7")).json()["results"][0]["outcome"] == "redriven"
    sent = console.topics.records["deploys"][-1]
    assert (sent.value, "penstock-seal" in dict(sent.headers)) == (b"as it was", False)


@pytest.mark.parametrize(("who", "status"), [("ci", 403), ("pat", 403), ("otel", 403), ("nobody", 401), ("root", 200)])
async def test_it_takes_the_role_of_an_operator(console, who, status):
    await bury(console)
    answer = await redrive(console, "deploy-intake/3@7", headers={"authorization": f"Bearer {who}-token"})
    assert answer.status_code == status
    assert ("deploy-intake" in console.topics.records) == (status == 200)


async def test_an_operator_of_some_targets_does_not_redrive_what_may_be_of_others():
    olga = Identity(sha256=digest_of("olga-token"), identity="olga", roles=("operator",), targets=("staging/*",))
    console = ConsoleApp(tokens=Tokens(tokens=(olga,)))
    await bury(console)
    assert (await redrive(console, "deploy-intake/3@7")).status_code == 403
    assert "deploy-intake" not in console.topics.records


@pytest.mark.parametrize("body", [{}, {"ids": []}, {"ids": ["a"]}, {"ids": ["a"] * 51, "reason": "x"}, {"ids": 1}, []])
async def test_bodies_of_another_form_are_refused(console, body):
    async with client_of(console) as client:
        assert (await client.post("/api/dead-letters/redrive", json=body, headers=OPERATOR)).status_code == 422


async def test_a_kafka_that_takes_no_mark_is_reported_and_the_repeat_carries_the_same_origin(console):
    await bury(console)
    console.topics.fails["dead-letters"] = AppendError("away")
    assert (await redrive(console, "deploy-intake/3@7")).status_code == 503
    assert (await redrive(console, "deploy-intake/3@7")).json()["results"][0]["outcome"] == "redriven"
    one, two = console.topics.records["deploy-intake"]
    assert (one.value, one.headers) == (two.value, two.headers)


async def test_headers_and_key_come_back_as_they_were(console):
    headers = [("key", b"theirs"), ("offset", b"x"), ("reason", b"r"), ("origin-key", b"o"), ("a", b"")]
    await bury(console, headers=headers)
    (letter,) = console.topics.records["dead-letters"]
    assert original(letter) == (b"key", b'{"a": 1}', headers)
