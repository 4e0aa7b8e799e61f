"""Looking at rollouts."""

import json
import time
from typing import Any

import httpx
import pytest

from penstock.cli.exits import Exits
from penstock.cli.rollouts.waiting import Clock, follow
from penstock.client import Client
from penstock.errors import NotFoundError, UnavailableError
from tests.support.console.fake import FakeConsole, view
from tests.unit.cli.conftest import Run

HALF = [{"name": "canary"}, {"name": "half"}]


def test_list_prints_one_line_a_rollout_with_a_word_beside_the_icon(run: Run, console: FakeConsole) -> None:
    console.views = [view(), view(id="ro-ffffffffffff", phase="held")]
    said = run("rollouts", "list")
    lines = said.out.splitlines()
    assert said.code == 0
    assert len(lines) == 3
    assert "▲ held" in lines[1], "what needs somebody comes first"
    assert "◐ baking" in lines[2]
    assert "5%" in lines[2]
    assert "\x1b" not in said.out


def test_list_as_json_is_the_servers_answer_and_as_jsonl_a_line_each(run: Run, console: FakeConsole) -> None:
    console.views = [view(), view(id="ro-ffffffffffff")]
    assert json.loads(run("rollouts", "list", "--json").out) == {"rollouts": console.views}
    assert [json.loads(line)["id"] for line in run("rollouts", "list", "--jsonl").out.splitlines()] == [
        "ro-0123456789ab",
        "ro-ffffffffffff",
    ]


def test_show_tells_the_sentence_the_ladder_and_the_gates_numbers(run: Run, console: FakeConsole) -> None:
    said = run("rollouts", "show", "ro-0123456789ab")
    for text in ("p99 +32 %", "canary", "+32.0%", "-2.0% to +80.0%, limit 5%", "0.41 of 900"):
        assert text in said.out


def test_show_puts_each_bound_beside_its_own_line_and_names_the_outcome(run: Run, console: FakeConsole) -> None:
    gate = view()["gates"][0] | {
        "fails": {"line": 0.05, "bound": 0.02, "error": 0.01}, "passes": {"line": 0.2, "bound": 0.6, "error": 0.1},
        "outlook": "held", "decides_in": 900.0, "decides_at": "2026-11-24T20:50:00.000000Z",
    }  # fmt: skip
    console.views = [view(gates=[gate])]
    shown = " ".join(run("rollouts", "show", "ro-0123456789ab").out.split())
    assert "at least +2.0 %, rolls back above +5.0 %" in shown
    assert "at most +60 %, passes below +20 %" in shown
    assert "undecided at this traffic, will be held at 20:50 UTC" in shown


def test_what_others_wrote_cannot_steer_the_terminal(run: Run, console: FakeConsole) -> None:
    console.views = [view(sentence="safe\x1b[31m red \x9b2J [bold]not bold[/bold]")]
    said = run("rollouts", "show", "ro-0123456789ab")
    assert "\x1b" not in said.out
    assert "\x9b" not in said.out
    assert "[bold]not bold[/bold]" in said.out


def test_a_rollout_that_does_not_exist_is_code_5_and_names_the_next_command(run: Run, console: FakeConsole) -> None:
    console.answers["/api/rollouts/ro-none"] = (404, {"error": "no such rollout"})
    said = run("rollouts", "show", "ro-none")
    assert said.code == Exits.NOT_FOUND
    assert "penstock rollouts list" in said.err
    assert said.out == ""


def test_an_id_that_is_a_path_is_never_sent(run: Run, console: FakeConsole) -> None:
    assert run("rollouts", "show", "../plans").code == Exits.NOT_FOUND
    assert console.requests == []


@pytest.mark.parametrize(
    ("views", "arguments", "code"),
    [
        ([view(), view(phase="completed", sequence=9)], [], Exits.REACHED),
        ([view(phase="awaiting_approval")], [], Exits.APPROVAL),
        ([view(phase="held")], [], Exits.HELD),
        ([view(phase="superseded")], [], Exits.SUPERSEDED),
        ([view(phase="held")], ["--for", "held"], Exits.REACHED),
        ([view(stages=HALF), view(stage="half", stages=HALF)], ["--for", "stage:half"], Exits.REACHED),
        ([view(phase="rolling_back"), view(phase="rolled_back")], ["--for", "rolled-back"], Exits.REACHED),
        ([view(phase="completed")], ["--for", "rolled-back"], Exits.INTERNAL),
        ([view()], ["--timeout", "0"], Exits.TIMEOUT),
        ([view(phase="held")], ["--patient", "--timeout", "0"], Exits.TIMEOUT),
    ],
)
def test_wait_ends_with_the_code_of_what_became_of_the_rollout(
    run: Run, console: FakeConsole, views: list[dict[str, object]], arguments: list[str], code: Exits
) -> None:
    console.views = views
    assert run("rollouts", "wait", "ro-0123456789ab", "--every", "0.1", *arguments).code == code


@pytest.mark.parametrize(
    ("why", "code"),
    [("gate_breached", Exits.ROLLED_BACK), ("person", Exits.ABORTED), ("flag_killed", Exits.ABORTED)],
)
def test_wait_tells_a_rollback_by_the_gates_from_one_by_a_person(
    run: Run, console: FakeConsole, why: str, code: Exits
) -> None:
    console.views = [view(phase="rolled_back", ground={"why": "rollback_executed"}, rollback={"why": why})]
    assert run("rollouts", "wait", "ro-0123456789ab").code == code


def test_wait_appends_one_line_a_change_and_none_for_what_stays(run: Run, console: FakeConsole) -> None:
    same = view()
    more = [view(judged=count, word=word) for count, word in ((4, "inconclusive"), (5, "no_data"), (6, "inconclusive"))]
    console.views = [same, same, *more, view(phase="completed", sequence=9)]
    said = run("rollouts", "wait", "ro-0123456789ab", "--every", "0.1")
    assert len(said.out.splitlines()) == 2, "a bake of a day has thousands of windows; a log has no line for each"


def test_a_line_carries_the_present_time_and_a_heartbeat_says_how_far_the_bake_is(
    run: Run, console: FakeConsole, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.cli.rollouts.commands._HEARTBEAT", 0.0)
    console.views = [view(), view(judged=4), view(phase="completed", sequence=9)]
    said = run("rollouts", "wait", "ro-0123456789ab", "--every", "0.1")
    today = time.strftime("%Y-%m-%d", time.gmtime())
    assert all(line.startswith(today) for line in said.out.splitlines())
    assert "4 of" in said.err


def test_a_stage_that_the_rollout_does_not_have_is_refused_instead_of_awaited(run: Run, console: FakeConsole) -> None:
    said = run("rollouts", "wait", "ro-0123456789ab", "--for", "stage:nope", "--timeout", "5")
    assert said.code == Exits.USAGE
    assert "no stage 'nope'" in said.err


def test_wait_refuses_a_goal_that_there_is_not(run: Run, console: FakeConsole) -> None:
    assert run("rollouts", "wait", "ro-0123456789ab", "--for", "promotd").code == Exits.USAGE


def test_explain_says_the_sentence_and_the_numbers_behind_it(run: Run, console: FakeConsole) -> None:
    said = run("rollouts", "explain", "ro-0123456789ab")
    assert said.out.splitlines()[0].startswith("Baking at 5 %.")
    assert "p99" in said.out
    assert set(json.loads(run("rollouts", "explain", "ro-0123456789ab", "--json").out)) >= {"sentence", "gates"}


def test_wait_gives_a_rollout_that_was_just_announced_a_moment_to_appear() -> None:
    answers = iter([404, 404, 200])
    now = iter(range(100))

    def answer(request: httpx.Request) -> httpx.Response:
        status = next(answers)
        return httpx.Response(status, json=view() if status == 200 else {"error": "no rollout"})

    client = Client("http://here", transport=httpx.MockTransport(answer))
    clock = Clock(now=lambda: float(next(now)), sleep=lambda seconds: None)
    assert next(follow(client, "ro-0123456789ab", clock, 1.0, print))["phase"] == "baking"
    answers = iter([404] * 20)
    with pytest.raises(NotFoundError):
        next(follow(client, "ro-0123456789ab", clock, 1.0, print))


def test_wait_outlasts_a_server_that_goes_away_but_not_for_ever() -> None:
    down = httpx.ConnectError("down")
    answers: list[Any] = [view(), down, view(), *[down] * 200]
    now = iter(range(10_000))
    said: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        given = answers.pop(0)
        if isinstance(given, Exception):
            raise given
        return httpx.Response(200, json=given)

    client = Client("http://here", transport=httpx.MockTransport(answer))
    views = follow(client, "ro-0123456789ab", Clock(lambda: float(next(now)), lambda s: None), 1.0, said.append)
    assert [next(views)["phase"], next(views)["phase"]] == ["baking", "baking"]
    assert len(said) == 1
    with pytest.raises(UnavailableError):
        next(views)


def test_show_watch_off_a_terminal_appends_a_line_a_change_until_the_rollout_has_ended(
    run: Run, console: FakeConsole
) -> None:
    console.views = [view(), view(), view(judged=4), view(phase="rolling_back", sequence=5), view(phase="completed")]
    said = run("rollouts", "show", "ro-0123456789ab", "--watch", "--every", "0.1")
    assert (said.code, len(said.out.splitlines())) == (0, 3)
    assert "\x1b" not in said.out


def test_what_a_server_answers_cannot_steer_the_terminal_either(run: Run, console: FakeConsole) -> None:
    console.answers["/api/rollouts"] = (422, {"error": "invalid", "problems": [{"where": "x", "what": "\x1b[2Jgone"}]})
    said = run("rollouts", "list")
    assert "\x1b" not in said.err
    assert len(said.err.splitlines()) == 2


def test_wait_says_what_a_rollback_waits_for_until_when_and_what_it_lacks(
    run: Run, console: FakeConsole, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.cli.rollouts.commands._HEARTBEAT", 0.0)
    recovery = {"what": "recovery", "at_latest": "2026-11-24T02:20:00.000Z", "windows": 2, "lacks": "no requests"}
    waits = view(phase="rolling_back", next={"what": "containment", "at_latest": "2026-11-24T02:10:00.000Z"})
    lacks = view(phase="rolling_back", next=recovery, sentence="Recovery cannot be verified so far: no requests.")
    console.views = [waits, lacks, lacks, view(phase="rolled_back", sequence=9)]
    said = run("rollouts", "wait", "ro-0123456789ab", "--every", "0.1", "--for", "rolled-back")
    assert len(said.out.splitlines()) == 3, "a new line where it waits for something else"
    assert "cannot be verified so far" in said.out.splitlines()[1]
    assert "recovery, decided by 2026-11-24 02:20:00Z (no requests)" in said.err
