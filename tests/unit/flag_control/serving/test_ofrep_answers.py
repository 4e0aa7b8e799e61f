"""OFREP, answer by answer, without a socket."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from penstock.tokens import Identity, Tokens, digest_of
from services.flag_control.evaluation.bucketing import Bucketing
from services.flag_control.evaluation.validate import check
from services.flag_control.serving.access import Access
from services.flag_control.serving.ofrep import MAX_BODY, Ofrep
from services.flag_control.serving.store import FlagStore
from services.flag_control.serving.usage import Usage
from tests.support.flags.sets import EVERY_KIND, boolean

FLAGS = "/ofrep/v1/evaluate/flags"


class World:
    def __init__(self, **options: Any) -> None:
        self.store = FlagStore()
        self.store.publish(check("everything.json", EVERY_KIND).source)
        self.usage = Usage(lambda: 1.0)
        self.app = Ofrep(self.store, self.usage, beside, **options)
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://flags")

    async def ask(self, key: str, context: Any = None, **options: Any) -> httpx.Response:
        body = {} if context is None else {"context": context}
        return await self.client.post(f"{FLAGS}/{key}", json=body, **options)


async def beside(scope: Any, _: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 299, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    await world.client.aclose()


async def test_an_answer_has_key_value_variant_reason_and_merged_metadata(world: World):
    answer = await world.ask("team/with.dots_and-dashes")
    assert answer.status_code == 200
    assert answer.json() == {
        "key": "team/with.dots_and-dashes",
        "value": False,
        "variant": "off",
        "reason": "STATIC",
        "metadata": {"set": "own", "flagSetId": "everything", "owner": "team-a"},
    }


@pytest.mark.parametrize(
    ("key", "text"), [("float", '"value":10.0'), ("mixed-number", '"value":3.0'), ("int", '"value":0,')]
)
async def test_floats_are_written_as_floats_and_integers_as_integers(world: World, key: str, text: str):
    answer = await world.ask(key)
    assert text in answer.text.replace("}", ",")


@pytest.mark.parametrize(("key", "reason"), [("disabled", "DISABLED"), ("no-default", "DEFAULT")])
async def test_where_the_code_decides_there_is_no_value_and_an_empty_variant(world: World, key: str, reason: str):
    answer = (await world.ask(key)).json()
    assert "value" not in answer
    assert (answer["variant"], answer["reason"]) == ("", reason)


async def test_a_match_says_so(world: World):
    answer = (await world.ask("bool", {"group": "beta"})).json()
    assert (answer["value"], answer["reason"]) == (True, "TARGETING_MATCH")


@pytest.mark.parametrize("body", [b"", b"{}", b'{"context":{}}', b'{"context":{},"of":"later"}'])
async def test_an_empty_body_a_missing_context_and_an_empty_one_are_valid(world: World, body: bytes):
    for path in (f"{FLAGS}/bool", FLAGS):
        assert (await world.client.post(path, content=body)).status_code == 200


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "PARSE_ERROR"),
        (b"\xff", "PARSE_ERROR"),
        (b"[]", "INVALID_CONTEXT"),
        (b'{"context":3}', "INVALID_CONTEXT"),
        (b'{"context":null}', "INVALID_CONTEXT"),
        (b'{"context":{"targetingKey":[7]}}', "INVALID_CONTEXT"),
        (b'{"context":' + b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"}", "INVALID_CONTEXT"),
    ],
)
async def test_a_bad_request_is_a_400_with_code_and_details(world: World, body: bytes, code: str):
    single = await world.client.post(f"{FLAGS}/bool", content=body)
    bulk = await world.client.post(FLAGS, content=body)
    for answer, key in ((single, {"key": "bool"}), (bulk, {})):
        assert answer.status_code == 400
        found = answer.json()
        assert found.pop("errorDetails")
        assert found == {**key, "errorCode": code}


@pytest.mark.parametrize("key", ["nope", "", "a/b", "bool/", "%2e%2e/bool"])
async def test_an_unknown_flag_is_a_404(world: World, key: str):
    answer = await world.ask(key)
    assert answer.status_code == 404
    assert answer.json()["errorCode"] == "FLAG_NOT_FOUND"


async def test_a_failing_targeting_is_a_400_of_that_flag_only():
    world = World()
    broken = {"flags": {"bad": boolean(targeting={"if": [{"no-such": 1}, "on"]}), "good": boolean(targeting=None)}}
    world.store.publish(check("broken", broken, lenient=True).source)
    answer = await world.ask("bad", headers={"flagd-selector": "source=broken"})
    assert answer.status_code == 400
    assert answer.json()["errorCode"] == "PARSE_ERROR"
    bulk = (await world.client.post(FLAGS, headers={"flagd-selector": "broken"})).json()
    assert {entry["key"]: "errorCode" in entry for entry in bulk["flags"]} == {"bad": True, "good": False}


async def test_bulk_has_every_flag_the_set_metadata_and_an_event_stream(world: World):
    answer = (await world.client.post(FLAGS, json={"context": {"targetingKey": "u"}})).json()
    assert {flag["key"] for flag in answer["flags"]} == set(EVERY_KIND["flags"])
    assert answer["metadata"]["flagSetId"] == "everything"
    assert answer["eventStreams"] == [{"type": "sse", "endpoint": {"requestUri": "/ofrep/v1/events?selector="}}]


async def test_bulk_says_304_while_neither_flags_nor_context_changed():
    world = World()
    untimed = {"flags": {"a": boolean()}}
    world.store.publish(check("set", untimed).source)
    headers = {"flagd-selector": "source=set"}

    async def ask(context: dict[str, str], etag: str = "") -> httpx.Response:
        asked = {**headers, **({"if-none-match": etag} if etag else {})}
        return await world.client.post(FLAGS, json={"context": context}, headers=asked)

    first = await ask({"targetingKey": "u", "group": "x"})
    etag = first.headers["etag"]
    before = world.usage.evaluations.total()
    same = await ask({"group": "x", "targetingKey": "u"}, etag)
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", etag)
    assert world.usage.evaluations.total() == before, "nothing was evaluated"
    assert (await ask({"targetingKey": "u", "group": "x"}, f'"other", W/{etag}')).status_code == 304
    assert (await ask({"targetingKey": "v"}, etag)).status_code == 200
    world.store.publish(check("set", {"flags": {"a": boolean(defaultVariant="on")}}).source)
    assert (await ask({"targetingKey": "u", "group": "x"}, etag)).status_code == 200


async def test_answers_that_depend_on_the_clock_are_evaluated_before_a_304(world: World):
    first = await world.client.post(FLAGS)
    before = world.usage.evaluations.total()
    again = await world.client.post(FLAGS, headers={"if-none-match": first.headers["etag"]})
    assert again.status_code == 304
    assert world.usage.evaluations.total() > before


async def test_the_servers_own_context_wins():
    world = World(overlay={"tenant": "acme"})
    assert (await world.ask("tenant", {"tenant": "other"})).json()["value"] is True


async def test_evaluations_are_counted_exactly_and_unknown_flags_are_not(world: World):
    for _ in range(3):
        await world.ask("bool")
    await world.ask("nope")
    assert world.usage.evaluations == {"everything/bool": 3}
    assert world.usage.last == {"everything/bool": 1.0}


async def test_only_known_tokens_evaluate_where_it_is_asked_for():
    tokens = Tokens(tokens=(Identity(sha256=digest_of("good"), identity="app"),))
    world = World(access=Access(tokens))
    for headers in ({}, {"authorization": "Bearer bad"}, {"authorization": "Basic good"}, {"x-api-key": "bad"}):
        answer = await world.ask("bool", headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
    for headers in ({"authorization": "Bearer good"}, {"x-api-key": "good"}):
        assert (await world.ask("bool", headers=headers)).status_code == 200
    bulk = (await world.client.post(FLAGS, headers={"x-api-key": "good"})).json()
    stream = bulk["eventStreams"][0]["endpoint"]["requestUri"]
    assert (await world.client.get(stream.replace("selector=", "selector=x"))).status_code == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"authorization": b"Bearer bad", "x-api-key": b"good"}, 200),
        ({"authorization": b"Bearer good", "x-api-key": b"bad"}, 200),
        ({"authorization": b"Basic Z29vZA==", "x-api-key": b"good"}, 200),
        ({"authorization": b"Bearer ", "x-api-key": b"good"}, 200),
        ({"authorization": b"bearer   good "}, 200),
        ({"authorization": b"Bearer "}, 401),
        ({"authorization": b"good"}, 401),
        ({"x-api-key": b""}, 401),
        ({"x-api-key": b" "}, 401),
        ({"x-api-key": "gööd".encode()}, 401),
        ({"x-api-key": b"\xff\xfe"}, 401),
        ({"x-api-key": b"g" * 30_000}, 401),
        ({"x-api-key": digest_of("good").encode()}, 401),
    ],
)
async def test_either_credential_admits_by_itself_to_one_flag_to_all_and_to_the_stream(
    headers: dict[str, bytes], status: int
):
    world = World(access=Access(Tokens(tokens=(Identity(sha256=digest_of("good"), identity="app"),))))
    assert (await world.ask("bool", headers=headers)).status_code == status
    bulk = await world.client.post(FLAGS, headers=headers)
    assert bulk.status_code == status
    crossed = {"authorization": headers.get("x-api-key", b""), "x-api-key": headers.get("authorization", b"")}
    right = 200 if crossed["x-api-key"] == b"good" else 401
    assert (await world.ask("bool", headers=crossed)).status_code == right, "what was right as one is not as the other"
    asked = await first_status(world, "/ofrep/v1/events", headers)
    assert asked == status


async def first_status(world: World, path: str, headers: dict[str, bytes]) -> int:
    """Ask for a stream and leave at its first byte."""
    statuses: list[int] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    scope = {
        "type": "http", "method": "GET", "path": path, "query_string": b"",
        "headers": [(name.encode(), value) for name, value in headers.items()],
    }  # fmt: skip
    await world.app(scope, receive, send)
    return statuses[0]


async def test_a_304_is_not_said_where_percentages_hash_otherwise_or_the_set_is_no_longer_stale():
    split = {"flags": {"a": boolean(targeting={"fractional": [["on", 1], ["off", 1]]})}}
    v3, v2 = (check("set", split, bucketing=bucketing).source for bucketing in (Bucketing.V3, Bucketing.V2))
    world = World()
    headers = {"flagd-selector": "source=set"}
    etags = []
    for source in (v3, v2, replace(v2, metadata={"stale": True})):
        world.store.publish(source)
        known = {"if-none-match": etags[-1]} if etags else {}
        answer = await world.client.post(FLAGS, json={"context": {"targetingKey": "u"}}, headers=headers | known)
        assert answer.status_code == 200
        etags.append(answer.headers["etag"])


async def test_until_the_flags_are_loaded_it_says_when_to_come_again_in_seconds():
    answer = await World(ready=lambda: False).ask("bool")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


async def test_a_body_that_is_too_large_is_refused_whether_declared_or_not(world: World):
    large = b'{"context":{"a":"' + b"x" * MAX_BODY + b'"}}'
    assert (await world.client.post(f"{FLAGS}/bool", content=large)).status_code == 413

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield large[: MAX_BODY // 10]

    assert (await world.client.post(f"{FLAGS}/bool", content=chunks())).status_code == 413


async def test_other_methods_and_other_paths_are_not_ofrep(world: World):
    answer = await world.client.get(f"{FLAGS}/bool")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert (await world.client.get("/flags")).status_code == 299


async def test_an_unknown_set_is_a_404_and_never_an_empty_answer(world: World):
    answer = await world.client.post(FLAGS, headers={"flagd-selector": "flagSetId=nope"})
    assert answer.status_code == 404
    assert "flags" not in json.loads(answer.content)
