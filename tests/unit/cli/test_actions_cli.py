"""Steering rollouts: nothing hits a stage that nobody looked at."""

import json

import pytest

from penstock.cli.exits import Exits
from tests.support.console.fake import FakeConsole, event_row, view
from tests.unit.cli.conftest import Run

ID = "ro-0123456789ab"


def granted(console: FakeConsole, verb: str) -> None:
    event = event_row(3, "stage.passed")["event"]
    console.answers[f"/api/rollouts/{ID}/{verb}"] = (200, {"event": event, "rollout": view(sequence=3)})


@pytest.mark.parametrize("command", [["promote"], ["rollouts", "promote"]])
def test_promote_sends_the_stage_and_sequence_that_it_saw(run: Run, console: FakeConsole, command: list[str]) -> None:
    granted(console, "promote")
    said = run(*command, ID, "--reason", "looks good", "--override")
    assert said.code == 0
    assert "stage.passed  event-3" in said.out
    assert console.body() == {
        "reason": "looks good",
        "override": True,
        "expected": {"stage": "canary", "sequence": 2},
    }


def test_what_the_asker_says_it_saw_goes_before_what_the_server_shows_now(run: Run, console: FakeConsole) -> None:
    granted(console, "hold")
    run("hold", ID, "-m", "wait", "--sequence", "1")
    assert console.body()["expected"] == {"sequence": 1}
    run("hold", ID, "-m", "wait", "--stage", "team")
    assert console.body()["expected"] == {"stage": "team"}


def test_a_rollback_loses_no_race_because_it_expects_nothing_unless_told(run: Run, console: FakeConsole) -> None:
    granted(console, "rollback")
    run("rollback", ID, "-m", "errors in the logs")
    assert "expected" not in console.body()


def test_an_approval_expects_the_sequence_and_the_awaited_stage_if_it_is_shown(run: Run, console: FakeConsole) -> None:
    granted(console, "approve")
    console.views = [view(phase="awaiting_approval", sequence=5)]
    run("approve", ID)
    assert console.body() == {"reason": "approved", "expected": {"sequence": 5}}
    console.views = [view(phase="awaiting_approval", sequence=5, awaited="half")]
    run("approve", ID)
    assert console.body()["expected"] == {"stage": "half", "sequence": 5}


@pytest.mark.parametrize(
    ("reason", "code"),
    [("stale", Exits.USAGE), ("not_allowed", Exits.USAGE), ("not_approver", Exits.AUTH), ("no_rollout", 5)],
)
def test_a_refusal_prints_the_new_state_and_ends_with_its_code(
    run: Run, console: FakeConsole, reason: str, code: int
) -> None:
    refusal = {"type": "command.refused", "reason": reason, "detail": "it has moved on: stage half"}
    body = {"error": "refused", "refusal": refusal, "rollout": view(stage="half", sequence=7)}
    console.answers[f"/api/rollouts/{ID}/promote"] = (409, body)
    said = run("promote", ID, "-m", "go")
    assert said.code == code
    assert "it has moved on" in said.err
    assert "half" in said.err
    assert "#7" in said.err
    assert said.out == ""
    assert json.loads(run("promote", ID, "-m", "go", "--json").out)["rollout"]["sequence"] == 7


def test_a_command_that_is_not_recorded_in_time_says_where_to_look(run: Run, console: FakeConsole) -> None:
    console.answers[f"/api/rollouts/{ID}/hold"] = (202, {"accepted": "abc", "see": f"/api/rollouts/{ID}"})
    said = run("hold", ID, "-m", "wait")
    assert said.code == 0
    assert f"penstock rollouts show {ID}" in said.out


def test_a_token_without_the_role_is_code_4(run: Run, console: FakeConsole) -> None:
    console.answers[f"/api/rollouts/{ID}/hold"] = (403, {"error": "takes the role operator"})
    said = run("hold", ID, "-m", "wait")
    assert said.code == Exits.AUTH
    assert "operator" in said.err


def test_an_action_without_a_reason_is_a_usage_error(run: Run, console: FakeConsole) -> None:
    assert run("hold", ID).code == Exits.USAGE
    assert console.requests == []


def test_a_quarantine_is_lifted_for_a_target_and_a_version(run: Run, console: FakeConsole) -> None:
    event = event_row(9, "quarantine.lifted")["event"]
    console.answers["/api/quarantine/lift"] = (200, {"event": event})
    said = run("quarantine", "lift", "production/checkout/new-form", "1.4.2", "-m", "fixed upstream")
    assert said.code == 0
    assert console.body() == {
        "target": "production/checkout/new-form",
        "version": "1.4.2",
        "reason": "fixed upstream",
    }
    assert run("quarantine", "lift", "checkout", "1.4.2", "-m", "x").code == Exits.USAGE
