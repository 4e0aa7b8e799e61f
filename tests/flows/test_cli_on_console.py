"""The command line against the real console: what the one sends the other takes, and every answer is understood."""

import asyncio
import functools
import json
import sys
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from aiokafka import ConsumerRecord

import penstock.cli
from penstock.cli import client as settings_of
from penstock.cli.events import publish
from penstock.cli.exits import Exits
from penstock.client import Client
from penstock.events import CommandRefused, Event, PlanRegistered, RolloutHeld
from services.runtime.kafka.dead_letters import dead_letter
from tests.support.builders import an
from tests.support.console.app import ConsoleApp
from tests.support.console.story import awaiting, baking, held, project, rolled_back, soaking
from tests.support.plans import SHORT, TARGET


class Said(NamedTuple):
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


@pytest.fixture
def console() -> ConsoleApp:
    """A console that knows the story's rollouts."""
    return ConsoleApp(project())


class InMemory(httpx.BaseTransport):
    """Takes each request to the application in a loop of its own, for the command line is synchronous."""

    def __init__(self, console: ConsoleApp) -> None:
        self._asgi = httpx.ASGITransport(console.app)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        async def answer() -> httpx.Response:
            response = await self._asgi.handle_async_request(request)
            return httpx.Response(response.status_code, headers=response.headers, content=await response.aread())

        return asyncio.run(answer())


@pytest.fixture
def run(monkeypatch, capsys, console, tmp_path):
    """Run the command line as `who`."""
    monkeypatch.setenv("PENSTOCK_STATE", str(tmp_path))
    # Nobody decides here, so what becomes of a deploy is never recorded.
    monkeypatch.setattr(publish, "PATIENCE", 0.0)

    def _run(*arguments: str, who: str = "root") -> Said:
        monkeypatch.setenv("PENSTOCK_TOKEN", f"{who}-token")
        monkeypatch.setattr(
            settings_of, "Client", functools.partial(Client, transport=InMemory(console), sleep=lambda seconds: None)
        )
        monkeypatch.setattr(sys, "argv", ["penstock", *arguments])
        with pytest.raises(SystemExit) as ended:
            penstock.cli.main()
        said = capsys.readouterr()
        return Said(int(ended.value.code or 0), said.out, said.err)

    return _run


def test_every_rollout_is_listed_shown_and_explained(run) -> None:
    listed = json.loads(run("rollouts", "list", "--json").out)["rollouts"]
    assert len(listed) == len({teller.rollout for teller in (baking(), awaiting(), held(), soaking())}) + 2
    for view in listed:
        shown = run("rollouts", "show", view["id"])
        assert shown.code == 0
        assert view["sentence"][:40] in shown.out
        assert run("rollouts", "explain", view["id"]).code == 0
        assert run("postmortem", view["id"]).out.startswith("# Postmortem")


def test_wait_tells_the_outcomes_of_the_story_apart(run) -> None:
    codes = {
        view["phase"]: run("rollouts", "wait", view["id"], "--timeout", "0").code
        for view in json.loads(run("rollouts", "list", "--json").out)["rollouts"]
    }
    assert codes["rolled_back"] == Exits.ROLLED_BACK
    assert codes["awaiting_approval"] == Exits.APPROVAL
    assert codes["held"] == Exits.HELD
    assert codes["completed"] == Exits.REACHED
    assert codes["baking"] == Exits.TIMEOUT


def test_a_command_is_answered_with_its_event_or_refused_with_the_state_it_met(run, console: ConsoleApp) -> None:
    teller = baking()

    def answer(topic: str, event: Event) -> None:
        if event.type == "hold.requested":
            console.hear("rollouts", an(RolloutHeld, id="held-now", target=teller.target, rollout=teller.rollout,
                                        cause=event.id, sequence=99, stage="canary"))  # fmt: skip
        elif topic == "commands":
            console.hear("rollouts", an(CommandRefused, id=f"re-{event.id}", target=teller.target,
                                        rollout=teller.rollout, cause=event.id, reason="stale"))  # fmt: skip

    console.on_publish = answer
    said = run("hold", teller.rollout, "-m", "look at the logs", who="olga")
    assert (said.code, "rollout.held  held-now" in said.out) == (0, True)
    asked = console.published[-1][1]
    view = json.loads(run("rollouts", "show", teller.rollout, "--json").out)
    assert asked.expected.stage == view["stage"]
    assert asked.actor == "olga"
    assert run("promote", teller.rollout, "-m", "now", who="olga").code == Exits.USAGE
    assert run("hold", teller.rollout, "-m", "no role", who="ci").code == Exits.AUTH
    assert run("approve", awaiting().rollout, who="nobody").code == Exits.AUTH


def test_a_deploy_reaches_the_topic_as_it_was_announced(run, console: ConsoleApp, tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(SHORT)
    said = run(
        "events", "publish", "deploy", "--version", "7", "--plan", str(plan), "--idempotency-key", "run-1",
        "--release-notes", "faster", "--author", "mira", "--ticket", "CHG-1", "--change", "abc", "--risk", "high",
        "--artifact", "pkg:oci/shop@sha256:00", who="ci",
    )  # fmt: skip
    topic, event = console.published[-1]
    assert (said.code, topic, event.target) == (0, "deploys", TARGET)
    assert event.release.model_dump() == {
        "service": "shop", "version": "7", "artifact": "pkg:oci/shop@sha256:00", "notes": "faster",
        "changes": ("abc",), "ticket": "CHG-1", "risk": "high", "author": "mira",
    }  # fmt: skip
    assert event.plan_text == SHORT


def test_a_plan_is_registered_and_listed(run, console: ConsoleApp, tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(SHORT.replace("name: banner", "name: other"))

    def answer(topic: str, event: Event) -> None:
        console.hear("rollouts", an(PlanRegistered, id="registered", target=event.target, cause=event.id,
                                    name="other", plan_text=event.plan_text))  # fmt: skip

    console.on_publish = answer
    assert run("plans", "register", str(plan), "-m", "new", who="pat").code == 0
    assert console.published[-1][1].reason == "new"
    assert "other" in run("plans", "list").out


def test_events_are_listed_found_and_streamed(run) -> None:
    rows = [json.loads(line) for line in run("events", "list", "--types", "rollback.*", "--jsonl").out.splitlines()]
    assert {row["event"]["type"].partition(".")[0] for row in rows} == {"rollback"}
    shown = run("events", "show", rows[0]["event"]["id"])
    assert json.loads(shown.out)["event"] == rows[0]["event"]
    assert run("events", "show", "no-such-event").code == Exits.NOT_FOUND
    assert run("events", "list", "--since", "1h").code == 0
    assert run("dead-letters", "list").out == "no dead letters\n"


def test_a_postmortem_of_the_story_names_the_gate_that_found_it(run) -> None:
    text = run("postmortem", rolled_back().rollout).out
    assert "## Detection" in text
    assert "breach" in text
    facts = json.loads(run("postmortem", rolled_back().rollout, "--format", "json").out)
    assert facts["rollout"] == rolled_back().rollout
    assert all("actor" not in moment for moment in facts["timeline"])


def test_dead_letters_are_listed_shown_safely_and_redriven_once(run, console: ConsoleApp) -> None:
    record = ConsumerRecord("deploy-intake", 1, 5, 0, 0, b"k\x1b[2J", b"\x1b]0;owned\x07{", None, 0, 1, ())
    asyncio.run(dead_letter(console.topics, "console", record, "event: 1 problem\n  is \x1b[31mno JSON"))
    listed = run("dead-letters", "list", "--topic", "deploy-intake", "--service", "console", "--since", "1h")
    assert "no JSON" in listed.out
    assert "1 problem" not in listed.out
    shown = run("dead-letters", "show", "deploy-intake/1@5")
    assert "owned" in shown.out
    assert "\x1b" not in listed.out + shown.out
    assert run("dead-letters", "show", "intake/1@5").code == Exits.NOT_FOUND
    assert run("dead-letters", "redrive", "-m", "why", who="olga").code == Exits.USAGE
    assert run("dead-letters", "redrive", "deploy-intake/1@5", "-m", "why", who="ci").code == Exits.AUTH
    assert run("dead-letters", "redrive", "--topic", "deploy-intake", "-m", "mended", who="olga").code == 0
    again = run("dead-letters", "redrive", "deploy-intake/1@5", "-m", "mended", who="olga")
    assert (again.code, "redriven already, by olga" in again.out) == (Exits.USAGE, True)
    assert "no dead letter to redrive" in run("dead-letters", "redrive", "--since", "1h", "-m", "mended").out
    assert "by olga" in run("dead-letters", "list").out
