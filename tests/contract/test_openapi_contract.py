"""The OpenAPI document says what the console does: every route, and no answer that it does not name."""

import asyncio
import json

import httpx
import jsonschema
import pytest
import schemathesis
from hypothesis import HealthCheck, settings

from penstock.events import CommandRefused
from services.console.http_api.openapi import document
from services.console.pages.site import static_files
from tests.support.builders import an
from tests.support.console.app import ConsoleApp
from tests.support.console.story import project

CONSOLE = ConsoleApp(project())
SCHEMA = schemathesis.openapi.from_dict(document())
TOKEN = {"authorization": "Bearer root-token"}
_OTHERS = (
    "/pages",
    "/static",
    "/login",
    "/logout",
    "/openapi.json",
    "/events",
    "/plans",
    "/dead-letters",
    "/rollouts",
    "/flags",
)


def test_every_route_of_the_api_is_documented_and_none_else():
    documented = {(path, method.upper()) for path, item in document()["paths"].items() for method in item}
    served = set()
    for route in CONSOLE.app.routes:
        if type(route) is type(static_files()):
            continue
        for method in sorted(route.methods - {"HEAD"}):
            page = route.path == "/" or route.path.startswith(_OTHERS)
            if not page or (route.path, method) == ("/events", "POST"):
                served.add((route.path, method))
    verbs = {(path, method) for path, method in documented if path.startswith("/api/rollouts/{rollout}/")}
    verbs = {(path, method) for path, method in verbs if method == "POST"}
    assert documented - verbs == served - {("/api/rollouts/{rollout}/{verb}", "POST")}
    assert len(verbs) == 5


async def test_a_rollout_is_as_its_schema_says():
    schema = document()["components"]["schemas"]["Rollout"]
    transport = httpx.ASGITransport(CONSOLE.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://console") as client:
        views = (await client.get("/api/rollouts")).json()["rollouts"]
    assert views
    for view in views:
        jsonschema.validate(view, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**views[0], "phase": "flying"}, schema)


@SCHEMA.exclude(path_regex="^/api/stream$").parametrize()
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_no_request_meets_an_answer_that_is_not_documented(case):
    if case.method.upper() != case.operation.method.upper():
        return  # schemathesis tries other methods too; GET of /events is a page
    for headers in ({}, TOKEN):
        answer = asyncio.run(sent(case, {**headers, "content-type": case.media_type or "application/json"}))
        assert str(answer.status_code) in case.operation.definition.raw["responses"], answer.text
        if answer.status_code >= 400:
            assert answer.json()["error"]


async def sent(case, headers):
    async with httpx.AsyncClient(transport=httpx.ASGITransport(CONSOLE.app), base_url="http://console") as client:
        path, query = case.formatted_path, case.query or None
        return await client.request(case.method, path, params=query, headers=headers, content=_bytes(case.body))


def _refuse(topic, event):
    if topic == "commands":
        CONSOLE.hear("rollouts", an(CommandRefused, id=f"re-{event.id}", cause=event.id))


CONSOLE.on_publish = _refuse


def _bytes(body):
    if isinstance(body, bytes):
        return body
    if isinstance(body, str):
        return body.encode(errors="replace")
    try:
        return json.dumps(body).encode()
    except (TypeError, ValueError):
        return b""
