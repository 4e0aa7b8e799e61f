"""What the console knows is folded from events alone, in any order between topics, each event once."""

import random
from datetime import timedelta

import pytest

from penstock.events import (
    DeployAnnounced,
    ExposureChanged,
    PlanRegistered,
    QuarantineLifted,
    Ratio,
    RollbackCompleted,
    StageEntered,
    StageJudged,
    VersionQuarantined,
    WindowClosed,
)
from services.console.read_models.entries import Entry, Wanted, chronological
from services.console.read_models.json_views import view_of
from services.console.read_models.projection import Projection
from tests.support.builders import an
from tests.support.console.story import TELLERS, promoted, rolled_back, told


def views(projection):
    shown = (view_of(book, projection.target(book.state.target)) for book in projection.books())
    return sorted(shown, key=lambda view: view["id"])


def fed(pairs):
    projection = Projection()
    for offset, (topic, event) in enumerate(pairs):
        projection.receive(topic, 0, offset, event)
    return projection


def test_the_order_between_topics_does_not_matter():
    expected = views(fed(told()))
    for seed in range(5):
        lanes = {}
        for topic, event in told():
            lanes.setdefault(topic, []).append(event)
        shuffler = random.Random(seed)
        shuffled = []
        while lanes:
            topic = shuffler.choice(sorted(lanes))
            shuffled.append((topic, lanes[topic].pop(0)))
            if not lanes[topic]:
                del lanes[topic]
        assert views(fed(shuffled)) == expected


def test_an_event_heard_twice_is_one_event():
    pairs = list(told())
    once, twice = fed(pairs), fed([pair for pair in pairs for _ in range(2)])
    assert views(twice) == views(once)
    assert twice.seq == once.seq == len(pairs)


def test_a_rollback_shows_its_times_and_what_it_cost():
    teller = rolled_back()
    projection = fed(teller.events)
    began = next(event.time for _, event in teller.events if isinstance(event, StageEntered))
    for place, requests in enumerate((100, 200)):
        measures = {"canary": {"errors": Ratio(events=1, total=requests)}}
        window = an(
            WindowClosed, target=teller.target, id=f"w{place}", end=began.replace(second=began.second + 1 + place)
        )
        projection.receive("metric-windows", 0, place, window.model_copy(update={"measures": measures}))
    book = projection.book(teller.rollout)
    view = view_of(book, projection.target(teller.target))
    assert view["phase"] == "rolled_back"
    assert view["rollback"]["contained_seconds"] == 0.031
    assert view["rollback"]["detected_seconds"] == 21.0
    assert view["rollback"]["recovered"] is True
    assert view["rollback"]["steps"] == [{"step": "flag", "state": "done", "detail": None}]
    assert view["exposed"] == 300
    assert view["quarantined"] == ["2.4.0"]
    assert view["gates"][0]["word"] == "breach"
    assert [stage["state"] for stage in view["stages"]] == ["passed", "failed"]


def test_requests_after_the_rollback_are_not_counted_as_exposed():
    teller = rolled_back()
    projection = fed(teller.events)
    last = teller.events[-1][1].time
    window = an(WindowClosed, target=teller.target, end=last).model_copy(
        update={"measures": {"canary": {"errors": Ratio(events=1, total=50)}}}
    )
    projection.receive("metric-windows", 0, 0, window)
    assert projection.target(teller.target).exposed(projection.book(teller.rollout)) == 0


def test_a_lifted_version_is_no_longer_quarantined():
    projection = Projection()
    quarantined = an(VersionQuarantined)
    projection.receive("rollouts", 0, 0, quarantined)
    assert projection.target(quarantined.target).quarantined
    projection.receive("rollouts", 0, 1, an(QuarantineLifted))
    assert not projection.target(quarantined.target).quarantined


def test_a_history_that_cannot_be_followed_is_shown_as_damaged_and_harms_no_other():
    good, bad = promoted(), rolled_back()
    projection = fed(good.events + bad.events)
    gap = an(RollbackCompleted, target=bad.target, rollout=bad.rollout, sequence=99)
    projection.receive("rollouts", 0, 999, gap)
    projection.receive("rollouts", 0, 1000, gap.model_copy(update={"id": "another"}))
    assert "sequence 99" in (projection.book(bad.rollout).damage or "")
    assert projection.book(good.rollout).damage is None
    assert projection.book(good.rollout).state.phase == "completed"


def test_causes_come_before_their_effects_at_the_same_time():
    judged, entered = an(StageJudged, cause=None), an(StageEntered)
    entered = entered.model_copy(update={"time": judged.time, "cause": judged.id})
    changed = an(ExposureChanged, time=judged.time.isoformat(), cause=entered.id)
    heard = [Entry(seq, "t", 0, seq, event) for seq, event in enumerate((changed, entered, judged))]
    assert [entry.event.type for entry in chronological(heard)] == ["stage.judged", "stage.entered", "exposure.changed"]


def test_a_deploy_that_is_stamped_a_day_ahead_stands_where_it_was_received():
    entered = an(StageEntered)
    ahead = an(DeployAnnounced, time=(entered.time + timedelta(days=1)).isoformat())
    received = ahead.received_at(entered.time - timedelta(seconds=1))
    heard = [Entry(1, "rollouts", 0, 0, entered), Entry(2, "deploys", 0, 0, received)]
    assert [entry.event.type for entry in chronological(heard)] == ["deploy.announced", "stage.entered"]
    assert not Wanted(since=entered.time).has(heard[1])


def test_a_circle_of_causes_ends():
    first = an(StageEntered, id="one", cause="two")
    second = an(StageJudged, id="two", cause="one", time=first.time.isoformat())
    assert len(chronological([Entry(1, "t", 0, 0, first), Entry(2, "t", 0, 1, second)])) == 2


def test_what_a_command_caused_is_found_by_the_command():
    projection = fed([("rollouts", an(PlanRegistered, cause="command-1"))])
    assert projection.caused_by("command-1").event.type == "plan.registered"
    assert projection.caused_by("command-2") is None


def test_a_flag_of_a_service_is_known_by_its_registered_plan():
    projection = fed([("rollouts", an(PlanRegistered))])
    assert projection.flags("production", "checkout") == ["new-payment-form"]
    assert projection.flags("staging", "checkout") == []


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        (Wanted(("rollback.*",)), 3),
        (Wanted(("rollback.started", "version.*")), 2),
        (Wanted(("*",), rollout=rolled_back().rollout, without=("stage.judged",)), 15),
        (Wanted(("nothing",)), 0),
    ],
)
def test_entries_are_filtered_by_patterns_and_rollout(wanted, count):
    assert len(list(fed(rolled_back().events).entries(wanted))) == count


def test_every_phase_of_the_story_has_a_sentence_and_a_next_step_where_it_lives():
    for view in views(fed(told())):
        assert view["sentence"].endswith((".", "?"))
        assert "None" not in view["sentence"]
        assert (view["next"] is None) == (view["phase"] in {"completed", "rolled_back"})
    assert len(TELLERS) == len(views(fed(told())))


def rolling_back(*left_out, windows=()):
    """Return the view of a rollback that is under way: the story's, without the events of these types."""
    teller = rolled_back()
    ends = {"recovery.verified", "rollback.executed", "rollback.completed", "version.quarantined", *left_out}
    projection = fed([(topic, event) for topic, event in teller.events if event.type not in ends])
    for place, window in enumerate(windows):
        projection.receive("metric-windows", 0, place, window)
    return view_of(projection.book(teller.rollout), projection.target(teller.target))


def test_a_rollback_says_at_once_that_recovery_cannot_be_verified_for_want_of_data_and_until_when():
    view = rolling_back()
    assert view["phase"] == "rolling_back"
    assert view["next"]["what"] == "recovery"
    assert view["next"]["lacks"] == "no window has closed since the rollback began"
    until = view["next"]["at_latest"]
    assert f"at {until[11:19]} UTC if they do not" in view["sentence"]
    assert "Recovery cannot be measured so far: no window has closed" in view["sentence"]


def test_a_rollback_whose_service_is_measured_waits_for_windows_and_lacks_nothing():
    teller = rolled_back()
    began = next(event.time for _, event in teller.events if event.type == "rollback.started")
    measures = {"baseline": {"errors": Ratio(events=1, total=100)}}
    window = an(WindowClosed, target=teller.target, id="w", end=began.replace(minute=began.minute + 1))
    view = rolling_back(windows=[window.model_copy(update={"measures": measures})])
    assert (view["next"]["what"], view["next"]["lacks"]) == ("recovery", None)
    assert "cannot be verified" not in view["sentence"]
    empty = rolling_back(windows=[window.model_copy(update={"measures": {}})])
    assert empty["next"]["lacks"] == "no requests are measured"


def test_a_rollback_waits_for_containment_and_the_steps_first():
    contained = rolling_back("exposure.contained")["next"]
    assert contained["what"] == "containment"
    assert contained["at_latest"]
    assert rolling_back("step.completed")["next"]["what"] == "steps"
