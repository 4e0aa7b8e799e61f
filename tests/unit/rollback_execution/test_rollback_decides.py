"""Rollback execution: history in, facts out."""

import itertools
import random

import pytest

from penstock import ids
from penstock.events import (
    ExposureContained,
    RecoveryVerified,
    RollbackCompleted,
    RollbackEscalated,
    RollbackExecuted,
    RollbackStarted,
    RolloutCompleted,
    Saw,
    StepCompleted,
    StepFailed,
    StepStarted,
    StepTakenOver,
    from_json,
    to_json,
)
from services.rollback_execution.errands import errand_of
from tests.support.builders import an
from tests.support.deciders.rollbacks import (
    ROLLOUT,
    STARTED,
    TARGET,
    WITH_HOOK,
    Story,
    announced,
    before,
    closed,
    served,
    started,
    types,
    zeroed,
)
from tests.support.metrics.windows import moment
from tests.support.plans import SHORT

ALL_WELL = [
    "step.started",
    "step.completed",
    "exposure.contained",
    "recovery.verified",
    "rollback.executed",
]


def begun(plan: str = SHORT) -> Story:
    story = Story()
    story.hears(*before(plan), started())
    return story


def at_the_hook() -> Story:
    """A rollback whose flag step is done and whose webhook step is claimed."""
    story = begun(WITH_HOOK)
    story.claims(1)
    story.hears(zeroed())
    story.claims(2)
    return story


def test_a_rollback_runs_its_step_is_contained_recovers_and_closes() -> None:
    story = begun()
    story.claims(1)
    story.hears(zeroed(), served(elapsed_ms=12.0), closed(2), closed(3))
    assert types(story.said) == ALL_WELL
    contained = next(event for event in story.said if isinstance(event, ExposureContained))
    assert (contained.seconds, contained.streams, contained.version, contained.within) == (0.012, 24, 4, 5.0)
    executed = story.said[-1]
    assert isinstance(executed, RollbackExecuted)
    assert executed.recovered
    assert executed.contained_seconds == 0.012
    assert executed.rollout == ROLLOUT
    assert story.state.running is None
    assert story.state.timers == {}


def test_the_first_step_waits_for_a_copy_to_claim_it() -> None:
    story = begun()
    assert story.said == []
    assert story.errand == "claim"
    [fact] = story.claims(1, "rollback-7")
    assert isinstance(fact, StepStarted)
    assert (fact.executor, fact.kind, fact.deadline, fact.version) == ("rollback-7", "flag", moment(11), "2")
    assert fact.cause == STARTED


def test_a_second_copys_claim_changes_nothing() -> None:
    story = begun()
    late = story.seen(Saw.CLAIMED, 1.5, "rollback-1")
    story.claims(1)
    held = story.document
    assert story.hears(late) == []
    assert story.document is held


def test_whatever_the_order_in_which_flag_and_reports_arrive_the_same_facts_follow() -> None:
    facts = set()
    for order in itertools.permutations(["started", "zeroed", "served", "claim"]):
        if order.index("claim") < order.index("started"):
            continue
        story = Story()
        story.hears(*before())
        for name in order:
            match name:
                case "started":
                    story.hears(started())
                case "zeroed":
                    story.hears(zeroed())
                case "served":
                    story.hears(served(elapsed_ms=7.0))
                case "claim":
                    story.claims(1)
        story.hears(closed(2), closed(3))
        assert sorted(types(story.said)) == sorted(ALL_WELL)
        assert types(story.said)[-2:] == ALL_WELL[-2:]
        facts.add(frozenset((event.type, event.id) for event in story.said))
    assert len(facts) == 1


def test_every_input_twice_changes_nothing() -> None:
    once, twice = Story(), Story()
    inputs = [*before(), started()]
    for event in inputs:
        once.hears(event)
        twice.hears(event, event)
    for second, story in ((1, once), (1, twice)):
        claim = story.seen(Saw.CLAIMED, second)
        story.hears(claim, *([claim] if story is twice else []))
    for event in [zeroed(), served(elapsed_ms=7.0), closed(2), closed(3), started()]:
        once.hears(event)
        twice.hears(event, event)
    assert once.said == twice.said
    assert types(twice.said) == ALL_WELL


def test_ids_derive_from_the_rollback_and_the_step_not_from_the_copy_or_the_clock() -> None:
    one, other = begun(), begun()
    [first] = one.claims(1, "rollback-0")
    [second] = other.claims(9, "rollback-9")
    assert first.id == second.id == ids.derive("step.started", STARTED, 0, 1)


def test_times_never_run_backwards_within_a_rollback() -> None:
    story = begun()
    story.claims(5)
    story.hears(zeroed(0), served(second=0.1), closed(2), closed(3))
    times = [event.time for event in story.said]
    assert times == sorted(times)
    assert times[0] == moment(5)


def test_every_fact_belongs_to_the_rollout_and_survives_its_json() -> None:
    story = at_the_hook()
    story.sees(Saw.SUCCEEDED, 3, status=200)
    story.hears(served(), closed(4), closed(5))
    assert types(story.said)[-1] == "rollback.executed"
    for event in story.said:
        assert event.rollout == ROLLOUT
        assert event.target == TARGET
        assert from_json(to_json(event)) == event


def test_an_earlier_stages_exposure_change_does_not_complete_the_flag_step() -> None:
    story = begun()
    story.claims(1)
    assert story.hears(zeroed(entry="some-other-decision", version=9)) == []


def test_a_flag_step_past_its_deadline_fails_and_calls_a_person_and_the_next_step_begins() -> None:
    story = begun(WITH_HOOK)
    story.claims(1)
    failed, escalated = story.fires("step")
    assert isinstance(failed, StepFailed)
    assert failed.final
    assert failed.time == moment(11)
    assert isinstance(escalated, RollbackEscalated)
    assert (escalated.what, escalated.step, escalated.to) == ("step", "flag", ("payments-on-call",))
    assert "10 s" in escalated.reason
    assert story.errand == "claim"
    [next_step] = story.claims(12)
    assert isinstance(next_step, StepStarted)
    assert (next_step.step, next_step.index, next_step.cause) == ("tell-ci", 1, failed.id)


def test_a_webhook_step_is_sent_by_the_copy_that_claimed_it_and_by_no_other() -> None:
    story = at_the_hook()
    assert story.errand == "post"
    assert errand_of(story.state, "rollback-1") is None


def test_an_accepted_webhook_completes_its_step() -> None:
    story = at_the_hook()
    [fact] = story.sees(Saw.SUCCEEDED, 3, status=204)
    assert isinstance(fact, StepCompleted)
    assert (fact.step, fact.index, fact.detail) == ("tell-ci", 1, {"status": 204})
    assert story.errand is None


def test_a_failed_webhook_is_tried_again_after_growing_pauses_until_the_deadline() -> None:
    story = at_the_hook()
    pauses, second = [], 2.0
    while True:
        [failed] = story.sees(Saw.FAILED, second, status=503, reason="HTTP 503")
        assert isinstance(failed, StepFailed)
        assert not failed.final
        if "retry" not in story.state.timers:
            break
        due = story.state.timers["retry"]
        pauses.append((due - moment(second)).total_seconds())
        [again] = story.fires("retry")
        assert isinstance(again, StepStarted)
        assert again.deadline == moment(32)
        second = (due - moment(0)).total_seconds()
    assert pauses == [1, 2, 4, 8]
    failed, escalated = story.fires("step")
    assert isinstance(failed, StepFailed)
    assert failed.final
    assert isinstance(escalated, RollbackEscalated)
    assert escalated.step == "tell-ci"


def test_a_webhook_that_can_never_succeed_is_given_up_at_once() -> None:
    story = at_the_hook()
    facts = story.sees(Saw.REFUSED, 3, reason="the subscribers file has no secret called ci")
    assert types(facts) == ["step.failed", "rollback.escalated"]
    assert isinstance(facts[1], RollbackEscalated)
    assert "no secret called ci" in facts[1].reason


def test_another_copy_takes_over_only_after_the_lease() -> None:
    story = at_the_hook()
    rival = story.seen(Saw.CLAIMED, 4, "rollback-1")
    assert story.hears(rival) == []
    assert story.fires("lease") == []
    assert story.errand == "claim"
    [fact] = story.claims(23, "rollback-1")
    assert isinstance(fact, StepTakenOver)
    assert (fact.executor, fact.former, fact.attempt) == ("rollback-1", "rollback-0", 2)


def test_after_the_lease_the_same_copy_goes_on_with_another_attempt() -> None:
    story = at_the_hook()
    story.fires("lease")
    [fact] = story.claims(23)
    assert isinstance(fact, StepStarted)
    assert fact.attempt == 2


def test_a_late_success_of_an_earlier_attempt_completes_the_step() -> None:
    story = at_the_hook()
    success = story.seen(Saw.SUCCEEDED, 22, status=200)
    story.fires("lease")
    story.claims(23, "rollback-1")
    assert types(story.hears(success)) == ["step.completed"]


def test_a_late_failure_of_an_earlier_attempt_changes_nothing() -> None:
    story = at_the_hook()
    failure = story.seen(Saw.FAILED, 22, reason="HTTP 500")
    story.fires("lease")
    story.claims(23, "rollback-1")
    assert story.hears(failure) == []


def test_reports_of_a_finished_step_change_nothing() -> None:
    story = at_the_hook()
    reports = [story.seen(saw, 3, reason="late") for saw in Saw]
    story.sees(Saw.SUCCEEDED, 3, status=200)
    held = story.document
    assert story.hears(*reports) == []
    assert story.document is held


def test_stale_and_unknown_timers_change_nothing() -> None:
    story = at_the_hook()
    lease, step = story.due("lease"), story.due("step")
    story.sees(Saw.FAILED, 3, reason="HTTP 500")
    story.fires("retry")
    held = story.document
    unknown = lease.model_copy(update={"timer": "tea"})
    assert story.hears(lease, unknown) == []
    assert story.document is held
    story.sees(Saw.SUCCEEDED, 5, status=200)
    assert story.hears(step) == []


def test_containment_waits_for_every_stream_of_every_instance_of_this_rollout() -> None:
    story = begun()
    story.hears(served("flags-1", version=3, second=-18))
    story.claims(1)
    assert types(story.hears(zeroed())) == ["step.completed"]
    assert story.hears(served("flags-0", elapsed_ms=9.0)) == []
    assert story.hears(served("flags-1", got=20, elapsed_ms=15.0)) == []
    [fact] = story.hears(served("flags-1", elapsed_ms=42.0))
    assert isinstance(fact, ExposureContained)
    assert (fact.seconds, fact.streams) == (0.042, 48)


def test_containment_counts_the_streams_that_were_closed_because_their_clients_read_nothing() -> None:
    story = begun()
    story.claims(1)
    story.hears(zeroed())
    report = served(streams=23, got=23, elapsed_ms=3_400.0).model_copy(update={"closed": 1})
    [fact] = story.hears(report)
    assert isinstance(fact, ExposureContained)
    assert (fact.streams, fact.closed) == (23, 1)


def test_an_instance_of_an_earlier_rollout_is_not_waited_for() -> None:
    story = Story()
    story.hears(served("flags-gone", version=2, second=-99), *before(), started())
    story.claims(1)
    assert "exposure.contained" in types(story.hears(zeroed(), served(elapsed_ms=9.0)))


def test_without_any_stream_the_applied_flag_is_containment() -> None:
    story = Story()
    story.hears(announced(), started())
    story.claims(1)
    facts = story.hears(zeroed(0.25))
    assert types(facts) == ["step.completed", "exposure.contained"]
    assert isinstance(facts[1], ExposureContained)
    assert (facts[1].streams, facts[1].seconds) == (0, 0.25)


def test_an_older_report_after_a_newer_one_is_not_believed() -> None:
    story = begun()
    story.claims(1)
    story.hears(served(version=4, elapsed_ms=9.0), served(version=3))
    assert "exposure.contained" in types(story.hears(zeroed()))


def test_containment_past_its_deadline_calls_a_person_and_says_who_is_missing() -> None:
    story = begun()
    story.claims(1)
    story.hears(zeroed(), served(got=20))
    [fact] = story.fires("containment")
    assert isinstance(fact, RollbackEscalated)
    assert fact.what == "containment"
    assert fact.time == moment(6)
    assert "flags-0 (20 of 24 streams)" in fact.reason


def test_containment_that_comes_after_its_escalation_is_still_recorded() -> None:
    story = begun()
    story.claims(1)
    story.hears(zeroed())
    story.fires("containment")
    [fact] = story.hears(served(elapsed_ms=30_000.0))
    assert isinstance(fact, ExposureContained)
    assert fact.seconds == 30.0


def test_containment_measured_beyond_its_deadline_escalates_even_if_no_timer_fired() -> None:
    story = begun()
    story.claims(1)
    facts = story.hears(zeroed(), served(elapsed_ms=6_000.0))
    assert types(facts) == ["step.completed", "exposure.contained", "rollback.escalated"]


def test_a_flag_that_was_never_applied_is_what_the_escalation_says() -> None:
    story = begun()
    story.claims(1)
    [fact] = story.fires("containment")
    assert isinstance(fact, RollbackEscalated)
    assert "flag control has not applied it" in fact.reason


def contained() -> Story:
    story = begun()
    story.claims(1)
    story.hears(zeroed(), served(elapsed_ms=9.0))
    story.said.clear()
    return story


def test_windows_before_containment_show_no_recovery() -> None:
    story = begun()
    story.claims(1)
    assert story.hears(closed(2), closed(3)) == []
    story.hears(zeroed(), served(elapsed_ms=9.0))
    assert types(story.said)[-1] == "exposure.contained"


def test_a_window_from_before_the_decision_shows_no_recovery() -> None:
    story = contained()
    assert story.hears(closed(-1), closed(-2), closed(2)) == []


def test_recovery_needs_good_windows_in_a_row() -> None:
    story = contained()
    assert story.hears(closed(2), closed(3, canary=3), closed(4), closed(5, errors=40), closed(6)) == []
    facts = story.hears(closed(7))
    assert isinstance(facts[0], RecoveryVerified)
    assert facts[0].windows == ("window-6", "window-7")


def test_an_unmeasured_window_neither_shows_recovery_nor_breaks_the_row() -> None:
    story = contained()
    assert story.hears(closed(2), closed(3, total=0), closed(4, without=["p99"]), closed(5, total=5)) == []
    assert types(story.hears(closed(6))) == ["recovery.verified", "rollback.executed"]


@pytest.mark.parametrize(
    ("window", "doubt"),
    [
        (closed(2, canary=1), "still gets requests"),
        (closed(2, errors=40), "errors is higher"),
        (closed(2, slow=0.05), "p99 is higher"),
        (closed(2, total=0), "no requests are measured"),
        (closed(2, without=["errors"]), "errors is not measured"),
    ],
)
def test_recovery_past_its_deadline_calls_a_person_with_the_reason_and_closes_unrecovered(window, doubt) -> None:
    story = contained()
    assert story.hears(window) == []
    escalated, executed = story.fires("recovery")
    assert isinstance(escalated, RollbackEscalated)
    assert escalated.what == "recovery"
    assert doubt in escalated.reason
    assert isinstance(executed, RollbackExecuted)
    assert not executed.recovered
    assert executed.contained_seconds == 0.009
    assert story.state.running is None


def test_without_windows_before_the_rollout_recovery_is_never_claimed() -> None:
    story = Story()
    story.hears(announced(), started())
    story.claims(1)
    story.hears(zeroed())
    assert story.hears(*(closed(2.0 + number) for number in range(5))) == []
    escalated, executed = story.fires("recovery")
    assert isinstance(escalated, RollbackEscalated)
    assert "no windows before the rollout" in escalated.reason
    assert isinstance(executed, RollbackExecuted)
    assert not executed.recovered


def test_the_baseline_beside_a_rollout_stands_in_for_a_short_history() -> None:
    story = Story()
    story.hears(announced(), *(closed(number - 20.0, canary=20) for number in range(5)), started())
    story.claims(1)
    story.hears(zeroed())
    assert types(story.hears(closed(2), closed(3))) == ["recovery.verified", "rollback.executed"]


def test_uncontained_after_the_deadline_recovery_is_watched_all_the_same() -> None:
    story = begun()
    story.claims(1)
    story.hears(zeroed())
    story.fires("containment")
    facts = story.hears(closed(8), closed(9))
    assert types(facts) == ["recovery.verified", "rollback.executed"]
    assert isinstance(facts[1], RollbackExecuted)
    assert facts[1].contained_seconds is None


def test_an_unreadable_plan_still_rolls_back_by_the_defaults() -> None:
    story = Story()
    story.hears(an_unreadable_announcement(), started())
    assert types(story.claims(1)) == ["step.started"]
    assert types(story.hears(zeroed())) == ["step.completed", "exposure.contained"]


def an_unreadable_announcement():
    return announced().model_copy(update={"plan_text": "version: 99"})


def test_a_rollout_that_was_never_heard_of_still_rolls_back_by_the_defaults() -> None:
    story = Story()
    story.hears(*before(), started(rollout="ro-unknown"))
    facts = story.claims(1)
    assert types(facts) == ["step.started"]
    assert facts[0].rollout == "ro-unknown"


def test_after_the_end_nothing_that_comes_late_says_anything() -> None:
    story = begun()
    story.claims(1)
    timers = [story.due(name) for name in story.state.timers]
    story.hears(zeroed(), served(elapsed_ms=9.0), closed(2), closed(3))
    assert story.hears(*timers, started(), zeroed(), served(), closed(4)) == []


def test_a_completed_rollout_can_be_rolled_back_by_the_windows_before_it() -> None:
    story = Story()
    done = an(RolloutCompleted, target=TARGET, rollout=ROLLOUT)
    everyone = [closed(number - 15.0, canary=100, total=0) for number in range(10)]
    story.hears(*before(), done, *everyone, started())
    story.claims(1)
    story.hears(zeroed(), served(elapsed_ms=9.0), closed(2), closed(3))
    assert types(story.said) == ALL_WELL


def test_a_second_rollback_of_the_target_has_facts_of_its_own() -> None:
    story = begun()
    story.claims(1)
    story.hears(zeroed(), served(elapsed_ms=9.0), closed(2), closed(3))
    story.hears(an(RollbackCompleted, target=TARGET, rollout=ROLLOUT))
    first = {event.id for event in story.said}
    story.said.clear()
    story.hears(announced(), started(100, "rollback-started-2"))
    story.claims(101)
    story.hears(zeroed(100, "rollback-started-2", 6), served(version=6, elapsed_ms=9.0), closed(102), closed(103))
    assert types(story.said) == ALL_WELL
    assert not first & {event.id for event in story.said}


def test_deadlines_run_from_the_claim_so_an_outage_before_it_fails_nothing() -> None:
    story = begun()
    story.claims(3600)
    assert story.state.timers["step"] == moment(3610)
    assert story.state.timers["containment"] == moment(3605)


def test_any_shuffle_of_late_inputs_ends_in_one_execution() -> None:
    for seed in range(200):
        rng = random.Random(seed)
        story = begun(WITH_HOOK)
        late = [zeroed(), served(elapsed_ms=9.0), served("flags-1", streams=3, elapsed_ms=5.0)]
        rng.shuffle(late)
        while story.state.running is not None:
            choices = ["claim", "fail", "succeed", "window", *story.state.timers]
            match rng.choice([*choices, *(["late"] * 3 if late else [])]):
                case "late":
                    story.hears(late.pop())
                case "claim" if story.state.running.step:
                    story.claims(rng.uniform(1, 50), rng.choice(["rollback-0", "rollback-1"]))
                case "fail" if story.state.running.step and story.state.running.doing.attempt:
                    story.sees(Saw.FAILED, rng.uniform(1, 50), reason="HTTP 500")
                case "succeed" if story.errand == "post":
                    story.sees(Saw.SUCCEEDED, rng.uniform(1, 50), status=200)
                case "window":
                    story.hears(closed(float(rng.randrange(2, 400))))
                case timer if timer in story.state.timers:
                    story.fires(timer)
        said = types(story.said)
        assert said.count("rollback.executed") == 1
        assert said.count("exposure.contained") <= 1
        assert len({event.id for event in story.said}) == len(story.said)
        for index in (0, 1):
            ends = [
                event
                for event in story.said
                if (isinstance(event, StepCompleted) or (isinstance(event, StepFailed) and event.final))
                and event.index == index
            ]
            assert len(ends) == 1


def never_exposed() -> Story:
    """A rollback that was decided before the first stage: nobody had the release."""
    story = Story()
    first = an(RollbackStarted, id=STARTED, target=TARGET, rollout=ROLLOUT, time=moment(0), version="2", stage=None)
    story.hears(*before(SHORT), first.model_copy(update={"exposure": 0.0}))
    return story


def test_a_rollback_before_the_first_stage_has_no_recovery_to_wait_for_and_calls_nobody() -> None:
    story = never_exposed()
    story.claims(1)
    story.hears(zeroed(), served(elapsed_ms=12.0))
    assert types(story.said) == ["step.started", "step.completed", "exposure.contained", "rollback.executed"]
    executed = story.said[-1]
    assert isinstance(executed, RollbackExecuted)
    assert executed.recovered
    assert story.state.running is None
    assert story.state.timers == {}
