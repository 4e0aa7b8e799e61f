"""Publishing, listing, tailing, forwarding."""

import base64
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from penstock.cli.events.forwarding import WAITS, Forwarder, signer
from penstock.cli.exits import Exits
from penstock.errors import InvalidError
from penstock.wire.sse import Message
from tests.support.console.fake import TARGET, FakeConsole, event_row, sse
from tests.unit.cli.conftest import Run

PLAN = Path(__file__).parents[3] / "deploy" / "plans" / "checkout.yaml"
DEPLOY = ["events", "publish", "deploy", "--service", "checkout", "--environment", "production"]


def accepted(console: FakeConsole) -> None:
    answer = {"accepted": [{"id": "x", "target": TARGET, "rollout": "ro-0123456789ab"}]}
    console.answers["/events"] = (202, answer)


def sent_to(console: FakeConsole) -> Any:
    return json.loads([request for request in console.requests if request.url.path == "/events"][-1].content)


def test_a_deploy_that_may_start_no_rollout_is_told_and_exits_2(run: Run, console: FakeConsole) -> None:
    accepted(console)
    console.answers["/api/rollouts/ro-0123456789ab"] = (404, {"error": "no rollout"})
    console.events = [event_row(1, "deploy.refused", cause="x", detail="version 1 was rolled back by ro-7")]
    said = run(*DEPLOY, "--flag", "f", "--version", "1")
    assert said.code == Exits.USAGE
    assert "rolled back by ro-7" in said.err


def test_a_deploy_is_announced_as_a_cdevent_and_prints_the_rollouts_id_alone(run: Run, console: FakeConsole) -> None:
    accepted(console)
    said = run(*DEPLOY, "--flag", "new-form", "--version", "1.4.2", "--plan", "checkout", "--idempotency-key", "run-7")
    assert said.out == "ro-0123456789ab\n"
    sent = sent_to(console)
    assert sent["type"] == "dev.cdevents.service.deployed.0.3.0"
    assert sent["data"]["subject"]["content"]["environment"] == {"id": "production"}
    assert sent["data"]["customData"]["penstock"] == {"flag": "new-form", "version": "1.4.2", "plan": "checkout"}
    assert console.requests[0].headers["content-type"] == "application/cloudevents+json"


def test_the_same_key_gives_the_same_id_and_another_key_another(run: Run, console: FakeConsole) -> None:
    accepted(console)
    ids = []
    for key in ("run-7", "run-7", "run-8"):
        run(*DEPLOY, "--flag", "f", "--version", "1", "--idempotency-key", key)
        ids.append(sent_to(console)["id"])
    assert ids[0] == ids[1] != ids[2]


def test_a_plan_file_is_embedded_as_it_is_and_names_the_target(run: Run, console: FakeConsole) -> None:
    accepted(console)
    said = run("events", "publish", "deploy", "--version", "2.0", "--plan", str(PLAN))
    assert said.code == 0
    data = sent_to(console)["data"]
    assert data["customData"]["penstock"]["planText"] == PLAN.read_text()
    assert data["customData"]["penstock"]["flag"] == "new-payment-form"
    assert data["subject"]["id"] == "checkout"


def test_a_plan_for_another_target_or_with_a_problem_is_not_sent(
    run: Run, console: FakeConsole, tmp_path: Path
) -> None:
    assert run(*DEPLOY, "--flag", "other", "--version", "1", "--plan", str(PLAN)).code == Exits.USAGE
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(PLAN.read_text().replace("bake: {min: 30", "bake: {minn: 30"))
    said = run("events", "publish", "deploy", "--version", "1", "--plan", str(wrong))
    assert said.code == Exits.USAGE
    assert "line " in said.err
    assert console.requests == []


def test_a_refused_deploy_lists_every_problem(run: Run, console: FakeConsole) -> None:
    problems = [{"where": "subject.id", "what": "is empty"}, {"where": "customData", "what": "has no flag"}]
    console.answers["/events"] = (422, {"error": "invalid", "problems": problems})
    said = run(*DEPLOY, "--flag", "f", "--version", "1")
    assert said.code == Exits.USAGE
    assert "subject.id: is empty" in said.err
    assert "customData: has no flag" in said.err


def test_events_are_listed_a_line_each_with_where_they_stand(run: Run, console: FakeConsole) -> None:
    console.events = [event_row(1), event_row(2, "rollback.started", ground={"why": "gate_breached"})]
    lines = run("events", "list", "--types", "rollback.*,stage.*", "--since", "10m").out.splitlines()
    assert len(lines) == 2
    assert "rollouts/3@2" in lines[1]
    assert "gate_breached" in lines[1]
    assert console.requests[-1].url.params["types"] == "rollback.*,stage.*"


@pytest.mark.parametrize("arguments", [["--types", "rolback.*"], ["--since", "10"]])
def test_a_pattern_that_can_match_nothing_and_a_time_without_unit_are_usage_errors(
    run: Run, console: FakeConsole, arguments: list[str]
) -> None:
    assert run("events", "list", *arguments).code == Exits.USAGE
    assert run("listen", *arguments).code == Exits.USAGE
    assert console.requests == []


def test_show_prints_one_event_whole_and_says_when_there_is_none(run: Run, console: FakeConsole) -> None:
    console.events = [event_row(1), event_row(2)]
    assert json.loads(run("events", "show", "event-2").out) == console.events[1]
    assert run("events", "show", "event-9").code == Exits.NOT_FOUND


def test_tail_takes_a_lost_connection_up_where_it_broke_and_repeats_nothing(run: Run, console: FakeConsole) -> None:
    console.streams = [
        [sse(1, event_row(1)), ": heartbeat\n\n", sse(2, event_row(2))[:20], httpx.ReadError("gone")],
        [sse(1, event_row(1)), sse(2, event_row(2)), sse(3, event_row(3))],
    ]
    said = run("events", "tail", "--count", "3", "--jsonl")
    assert [json.loads(line)["event"]["id"] for line in said.out.splitlines()] == ["event-1", "event-2", "event-3"]
    assert console.requests[-1].headers["last-event-id"] == "1"


def test_tail_without_a_server_is_code_6(run: Run, console: FakeConsole) -> None:
    assert run("events", "tail").code == Exits.UNREACHABLE


def test_a_line_separator_inside_a_message_does_not_cut_it(run: Run, console: FakeConsole) -> None:
    said = "line one\u2028line two"
    whole = f"id: 1\ndata: {json.dumps({'seq': 1, **event_row(1, reason=said)}, ensure_ascii=False)}\n\n"
    console.streams = [[whole[:40], whole[40:]]]
    out = run("events", "tail", "--count", "1", "--jsonl").out
    assert json.loads(out)["event"]["reason"] == said


def held() -> Message:
    row = event_row(4, "rollout.held", sequence=4, plan_hash="ab", code="1", ground={"why": "person"}, stage="canary")
    return Message("4", row["topic"], row["partition"], row["offset"], row["event"])


def test_an_event_is_forwarded_until_the_receiver_takes_it() -> None:
    statuses = iter([500, 503, 204])
    seen: list[httpx.Request] = []
    slept: list[float] = []

    def receive(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(next(statuses))

    http = httpx.Client(transport=httpx.MockTransport(receive))
    progress: list[str] = []
    assert Forwarder(http, "http://here/hook", progress.append, sleep=slept.append).send(held()) == 204
    bodies = [json.loads(request.content) for request in seen]
    assert bodies[0] == bodies[1] == bodies[2]
    assert bodies[0]["type"] == "dev.cdeventsx.penstock-rollout.held.0.1.0"
    assert slept == list(WAITS[:2])
    assert len(progress) == 2


def test_a_receiver_that_never_takes_it_is_given_up_and_said_so() -> None:
    http = httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(500)))
    progress: list[str] = []
    assert Forwarder(http, "http://here/hook", progress.append, sleep=lambda seconds: None).send(held()) is None
    assert progress[-1].endswith("given up")


def test_forwarded_events_are_signed_so_that_a_receiver_can_tell() -> None:
    secret = "whsec_" + base64.b64encode(b"k" * 32).decode()
    seen: list[httpx.Request] = []

    def receive(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200)

    http = httpx.Client(transport=httpx.MockTransport(receive))
    assert Forwarder(http, "http://here/hook", print, signer(secret)).send(held()) == 200
    assert Webhook(secret).verify(seen[0].content, dict(seen[0].headers)) == json.loads(seen[0].content)
    with pytest.raises(InvalidError):
        signer("secret")
