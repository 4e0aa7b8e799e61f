"""The demo's account comes from the events, and each of its checks can fail."""

import base64
import io
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from deploy.demo.account import account, seen_by_users
from deploy.demo.checks import Check, Outside, checks
from deploy.demo.distribution import of_windows
from deploy.demo.features import BAD, FEATURES, GOOD, SAME, UNMEASURED, Feature
from deploy.demo.load import Response, read_responses
from deploy.demo.receiver import Receiver
from deploy.demo.story import Story, rollback_of
from deploy.demo.view import line_of, screen
from penstock.events import Cohort, ExposureContained, StageJudged, StepCompleted, Word
from penstock.events.verdicts import GateVerdict, NoDataReason
from penstock.plan import QuantileGate, RatioGate, load_plan
from penstock.webhooks import sign
from tests.support.builders import an
from tests.support.deciders.slice import deploy, pipeline
from tests.support.metrics.windows import moment, window

PLANS = Path(__file__).resolve().parents[3] / "deploy" / "demo" / "plans"
BEGAN = 6


def text_of(feature: Feature) -> str:
    return (PLANS / feature.plan).read_text()


def told(feature: Feature, windows: int, slow: float = 0.0) -> Story:
    """The story of a feature whose windows the real deciders judged."""
    played = pipeline()
    announced = deploy(text_of(feature), version=feature.version, second=BEGAN).model_copy(
        update={"target": feature.target}
    )
    story = Story(feature)
    for number in range(BEGAN + windows):
        if number == BEGAN:
            played.publish("deploys", announced)
            played.settle()
        story.windows.append(window(feature.target, number, moment(), canary=60 * (number >= BEGAN), canary_slow=slow))
        played.close_window(story.windows[-1])
        played.settle()
    for event in played.said:
        story.fold(event)
    return story


def rolled_back() -> Story:
    story = told(BAD, 40, slow=0.04)
    started = next(event for event in story.received if event.type == "rollback.started")
    story.windows = [
        one.model_copy(update={"first_sample_at": one.start}) for one in story.windows if one.end <= started.time
    ]
    story.fold(an(ExposureContained, target=BAD.target, seconds=0.02, within=5.0))
    story.fold(an(StepCompleted, target=BAD.target, step="tell-ci"))
    return story


def outcome(promise: str, found: list[Check]) -> bool:
    return next(check.held for check in found if promise in check.promise)


def all_checks(bad: Story, outside: Outside | None = None) -> list[Check]:
    empty = outside or Outside((), 1, "", "")
    return checks(Story(GOOD), bad, Story(SAME), Story(UNMEASURED), empty)


def test_the_account_of_a_rollback_is_read_from_windows_and_verdicts() -> None:
    story = rolled_back()
    found = rollback_of(story)
    assert found is not None
    assert found.windows == len(story.exposed)
    assert 0 < found.detect <= found.windows
    assert found.breached == story.verdicts[-1].window_end
    assert found.samples == 60 * found.windows
    assert found.slow == pytest.approx(0.04, abs=0.03)
    assert abs(found.median) < 0.1
    assert found.p99 > 2.0


def test_what_is_found_late_or_by_chance_fails_its_check() -> None:
    good = all_checks(rolled_back())
    assert outcome("within 15 windows", good)
    late = rolled_back()
    before = [window(BAD.target, number, moment(-20)) for number in range(20)]
    late.windows = [*before, *late.windows]
    entered = next(event for event in late.received if event.type == "stage.entered")
    late.received[late.received.index(entered)] = entered.model_copy(update={"time": moment(-30)})
    assert not outcome("within 15 windows", all_checks(late))


@pytest.mark.parametrize(
    "promise",
    [
        "through 3 stages",
        "rolled back by a gate",
        "recover",
        "A/A release",
        "nobody reports",
        "received the rollback",
        "own signed webhook",
        "replay",
        "postmortem",
    ],
)
def test_each_promise_fails_where_nothing_shows_that_it_was_kept(promise: str) -> None:
    assert not outcome(promise, all_checks(Story(BAD)))


def test_containment_that_nobody_reported_fails_its_check() -> None:
    story = rolled_back()
    assert outcome("safe version", all_checks(story))
    story.received = [event for event in story.received if not isinstance(event, ExposureContained)]
    assert not outcome("safe version", all_checks(story))


def test_a_hold_for_another_reason_is_not_the_promised_one() -> None:
    story = told(UNMEASURED, 12)
    held = [event for event in story.received if event.type == "rollout.held"]
    assert held
    assert outcome("nobody reports", checks(Story(GOOD), Story(BAD), Story(SAME), story, Outside((), 1, "", "")))
    last = story.verdicts[-1]
    other = [
        gate.model_copy(update={"no_data": NoDataReason.NO_TRAFFIC if gate.no_data else None}) for gate in last.gates
    ]
    story.verdicts.append(last.model_copy(update={"gates": tuple(other)}))
    assert not outcome("nobody reports", checks(Story(GOOD), Story(BAD), Story(SAME), story, Outside((), 1, "", "")))


def test_quantiles_of_merged_windows_are_those_of_their_requests() -> None:
    windows = [window("demo/shop/x", number, moment(), canary_slow=0.05) for number in range(20)]
    found = of_windows(windows, Cohort.CANARY, "p99")
    assert found is not None
    assert found.count == 20 * 60
    assert found.quantile(0.5) == pytest.approx(0.05, rel=0.1)
    assert found.above(0.2) == pytest.approx(60, abs=25)
    assert of_windows(windows, Cohort.CANARY, "nothing") is None


def test_users_are_counted_once_and_from_the_first_slow_answer_on() -> None:
    answers = [
        Response(1.0, BAD.flag, "a", "on", 200, 0.06),
        Response(2.0, BAD.flag, "a", "on", 200, 0.40),
        Response(3.5, BAD.flag, "b", "on", 200, 0.06),
        Response(9.0, BAD.flag, "c", "off", 200, 0.90),
    ]
    seen = seen_by_users(answers, BAD.flag, 0.06)
    assert seen is not None
    assert (seen.slow_to_safe, seen.users, seen.requests) == (1.5, 2, 3)
    assert seen_by_users(answers[:1], BAD.flag, 0.06) is None


def test_a_line_that_is_being_written_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "responses.jsonl"
    whole = Response(1.0, "f", "u", "on", 200, 0.1)
    path.write_text(f'{whole.line()}\n[2.0, "f"')
    assert read_responses(path) == [whole]
    assert read_responses(tmp_path / "none") == []


def test_the_receiver_takes_what_is_signed_and_refuses_what_is_not() -> None:
    secret = f"whsec_{base64.b64encode(b'x' * 32).decode()}"
    receiver = Receiver((secret,))
    try:
        body = b'{"type": "dev.cdeventsx.penstock-rollback.started.0.1.0"}'
        signed = sign((secret,), "id-1", datetime.now(UTC), body)  # noqa: TID251 - a receiver checks against the clock
        assert receiver.accept("/events", signed, body) == 204
        assert receiver.accept("/events", signed, body + b" ") == 401
        assert [(one.id, one.verified) for one in receiver.received] == [("id-1", True), ("id-1", False)]
    finally:
        receiver.close()


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.flag)
def test_the_plans_load_with_margins_that_are_said_aloud(feature: Feature) -> None:
    plan = load_plan(text_of(feature), feature.plan)
    assert plan.target.key == feature.target
    assert plan.windows.length == 1.0
    p99, errors = plan.gates["p99"], plan.gates["errors"]
    assert isinstance(p99, QuantileGate)
    assert p99.pass_margin is not None
    assert p99.pass_margin.relative == 1.0
    assert isinstance(errors, RatioGate)
    assert errors.pass_margin.absolute == 0.05


def test_the_view_shows_every_phase_of_a_story() -> None:
    stories = [Story(GOOD), rolled_back(), told(SAME, 3), told(UNMEASURED, 12)]
    console = Console(record=True, width=150, file=io.StringIO())
    console.print(screen(stories, ["a line"], 12.0, "a note"))
    shown = console.export_text()
    for word in ("measuring control", "rolling back", "baking", "held", "saved no data", "a note"):
        assert word in shown
    lines = [line_of(event, "flag") for event in stories[1].received]
    assert any(line is not None and "rollback.started" in line for line in lines)


def test_the_account_names_every_release_and_what_became_of_it() -> None:
    lines = account(told(GOOD, 3), rolled_back(), told(SAME, 3), told(UNMEASURED, 12), ())
    text = "\n".join(lines)
    assert "blamed p99" in text
    assert "seconds to detect" in text
    assert "held (no data)" in text


def test_a_verdict_without_numbers_is_shown_as_such() -> None:
    story = told(SAME, 3)
    story.verdicts.append(
        an(StageJudged, target=SAME.target, word=Word.INCONCLUSIVE.value).model_copy(
            update={"gates": (GateVerdict(gate="p99", kind="quantile", word=Word.INCONCLUSIVE),)}
        )
    )
    Console(file=io.StringIO()).print(screen([story], [], 0.0, ""))
