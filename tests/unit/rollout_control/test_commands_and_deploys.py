"""What rollout control grants, what it refuses and with which words: history in, facts out."""

from datetime import timedelta
from typing import Any

import pytest

from penstock import ids
from penstock.chain import Document
from penstock.events import (
    ApprovalGranted,
    Authority,
    CommandRefused,
    DeployAnnounced,
    DeployRefused,
    Event,
    Expectation,
    GateVerdict,
    HoldRequested,
    LiftRequested,
    NoDataReason,
    PlanSubmitted,
    PromotionRequested,
    Release,
    Request,
    ResumeRequested,
    RollbackExecuted,
    RollbackRequested,
    RolloutHeld,
    StageJudged,
    TimerFired,
    Word,
    from_json,
    to_json,
)
from services.rollout_control.decide import decide
from tests.support.metrics.windows import moment
from tests.support.plans import SHORT, TARGET, with_approval, with_soak


class Desk:
    """A target's history: hears events, remembers what was said."""

    def __init__(self, *events: Event) -> None:
        self.document: Document = {}
        self.said: list[Event] = []
        self.second = 0.0
        for event in events:
            self.hear(event)

    def hear(self, event: Event) -> list[Event]:
        decision = decide(TARGET, self.document, from_json(to_json(event)))
        self.document = decision.document
        self.said += decision.events
        return list(decision.events)

    def types(self) -> list[str]:
        return [event.type for event in self.said]

    @property
    def rollout(self) -> dict[str, Any]:
        return dict(self.document["rollout"])


def deploy(version: str = "2", number: int = 1, **fields: Any) -> DeployAnnounced:
    release = Release(service="shop", version=version, author="alice")
    given = {"plan_text": SHORT, "release": release, "actor": "ci", "grants": ("announce", "plan")} | fields
    return DeployAnnounced(id=f"d{number}", source="/ci", target=TARGET, time=moment(), **given)


def ask(kind: type[Request], number: int = 1, actor: str = "bob", **fields: Any) -> Request:
    common = {"roles": ("release-manager",), "reason": "because"} | fields
    return kind(
        id=f"{kind.__name__}-{number}", source="/console", target=TARGET, time=moment(50), actor=actor, **common
    )


def verdict(desk: Desk, word: Word, final: bool = True, **fields: Any) -> StageJudged:
    desk.second += 1
    rollout = desk.rollout
    given: dict[str, Any] = {"entry": rollout["entry"], "stage": rollout["stage"], "rollout": rollout["id"]} | fields
    end = moment(desk.second)
    return StageJudged(
        id=ids.derive("v", str(desk.second)),
        source="/penstock/gate_evaluation",
        target=TARGET,
        time=end,
        window=f"w{desk.second}",
        window_end=end,
        judged=9,
        word=word,
        final=final,
        judge="1",
        plan_hash="x",
        **given,
    )


def breach(desk: Desk, by: Authority = Authority.ROLLBACK, **fields: Any) -> StageJudged:
    return verdict(desk, Word.BREACH, blamed=("p99",), blocked_by=by, **fields)


def test_a_release_that_needs_no_approval_enters_its_first_stage_at_once() -> None:
    assert Desk(deploy()).types() == ["plan.registered", "rollout.announced", "stage.entered"]


def test_a_pass_waits_for_the_approval_that_the_next_stage_asks_for() -> None:
    desk = Desk(deploy(plan_text=with_approval()))
    desk.hear(verdict(desk, Word.PASSED))
    assert desk.types()[-2:] == ["stage.passed", "approval.awaited"]
    desk.hear(ask(ApprovalGranted))
    assert desk.types()[-2:] == ["stage.approved", "stage.entered"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"actor": "alice"}, "author_may_not_approve"),
        ({"roles": ("operator",)}, "not_approver"),
        ({"expected": Expectation(stage="canary")}, "stale"),
        ({"expected": Expectation(sequence=1)}, "stale"),
        ({"rollout": "ro-other"}, "no_rollout"),
    ],
)
def test_an_approval_that_does_not_hold_is_refused_with_the_state_it_met(change: dict[str, Any], reason: str) -> None:
    desk = Desk(deploy(plan_text=with_approval()))
    desk.hear(verdict(desk, Word.PASSED))
    (refusal,) = desk.hear(ask(ApprovalGranted, **change))
    assert isinstance(refusal, CommandRefused)
    assert refusal.reason == reason
    assert (refusal.phase, refusal.stage, refusal.sequence) == ("awaiting_approval", "half", 4)


def test_where_no_author_is_named_whoever_announced_the_release_may_not_approve_it() -> None:
    release = Release(service="shop", version="2")
    desk = Desk(deploy(plan_text=with_approval(), release=release, actor="carol"))
    desk.hear(verdict(desk, Word.PASSED))
    (refusal,) = desk.hear(ask(ApprovalGranted, actor="carol"))
    assert isinstance(refusal, CommandRefused)
    assert refusal.reason == "author_may_not_approve"
    desk.hear(ask(ApprovalGranted, number=2, actor="dan"))
    assert desk.types()[-2:] == ["stage.approved", "stage.entered"]


def test_a_promotion_past_gates_needs_the_override_and_is_recorded_as_one() -> None:
    desk = Desk(deploy())
    (refusal,) = desk.hear(ask(PromotionRequested))
    assert isinstance(refusal, CommandRefused)
    assert "--override" in refusal.detail
    passed, entered = desk.hear(ask(PromotionRequested, number=2, override=True))
    assert to_json(passed)["override"] is True
    assert to_json(passed)["ground"]["why"] == "override"
    assert entered.actor == "bob"


def test_the_same_command_twice_acts_once() -> None:
    desk = Desk(deploy())
    assert [event.type for event in desk.hear(ask(HoldRequested))] == ["rollout.held"]
    assert desk.hear(ask(HoldRequested)) == []


def test_hold_and_resume_go_back_to_the_stage() -> None:
    desk = Desk(deploy(), ask(HoldRequested))
    assert desk.rollout["phase"] == "held"
    desk.hear(ask(ResumeRequested))
    assert desk.rollout["phase"] == "baking"


def test_a_held_rollout_is_still_taken_back_by_a_breach() -> None:
    desk = Desk(deploy(), ask(HoldRequested))
    assert desk.hear(breach(desk))[0].type == "rollback.started"


def test_a_breach_of_an_earlier_stage_counts_and_its_pass_does_not() -> None:
    desk = Desk(deploy())
    first = desk.rollout["entry"]
    desk.hear(verdict(desk, Word.PASSED))
    assert desk.hear(verdict(desk, Word.PASSED, entry=first, stage="canary")) == []
    assert desk.hear(breach(desk, entry=first, stage="canary"))[0].type == "rollback.started"


def test_a_breach_with_authority_to_hold_holds() -> None:
    desk = Desk(deploy())
    assert [event.type for event in desk.hear(breach(desk, Authority.HOLD))] == ["rollout.held"]


def test_a_breach_with_authority_to_advise_changes_nothing() -> None:
    desk = Desk(deploy())
    assert desk.hear(breach(desk, Authority.ADVISE)) == []


def test_inconclusive_extends_once_and_then_holds() -> None:
    desk = Desk(deploy())
    assert [event.type for event in desk.hear(verdict(desk, Word.INCONCLUSIVE))] == ["stage.extended"]
    assert desk.rollout["bake_max"] == 80
    assert [event.type for event in desk.hear(verdict(desk, Word.INCONCLUSIVE))] == ["rollout.held"]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [("", "rollout.held"), ("{no_traffic: rollback}", "rollback.started"), ("{no_traffic: extend}", "stage.extended")],
)
def test_no_data_does_what_the_plan_says_and_holds_where_it_says_nothing(policy: str, expected: str) -> None:
    text = SHORT.replace("exposure: 25%,", f"exposure: 25%, on_no_data: {policy or '{}'},")
    desk = Desk(deploy(plan_text=text))
    gate = GateVerdict(gate="p99", kind="quantile", word=Word.NO_DATA, no_data=NoDataReason.NO_TRAFFIC)
    assert desk.hear(verdict(desk, Word.NO_DATA, gates=(gate,)))[0].type == expected


def test_a_gate_that_only_advises_or_only_guards_has_no_say_about_missing_data() -> None:
    policy = "on_no_data: {metric_never_seen: rollback, no_traffic: extend}, gates: [p99]"
    desk = Desk(deploy(plan_text=SHORT.replace("exposure: 25%,", f"exposure: 25%, {policy},")))
    p99 = GateVerdict(gate="p99", kind="quantile", word=Word.NO_DATA, no_data=NoDataReason.NO_TRAFFIC)
    never = {"word": Word.NO_DATA, "no_data": NoDataReason.METRIC_NEVER_SEEN}
    guard = GateVerdict(gate="errors", kind="ratio", **never)
    advice = GateVerdict(gate="p99", kind="quantile", authority=Authority.ADVISE, **never)
    assert desk.hear(verdict(desk, Word.NO_DATA, gates=(guard, advice, p99)))[0].type == "stage.extended"


def test_of_several_policies_the_most_careful_is_taken_and_a_call_is_not_lost_in_a_hold() -> None:
    policy = "on_no_data: {no_traffic: page, late_data: extend}"
    text = SHORT.replace("exposure: 25%,", f"exposure: 25%, {policy},")
    text = text.replace("rollback:\n", "rollback:\n  escalate_to: [on-call]\n")
    reasons = (NoDataReason.NO_TRAFFIC, NoDataReason.TELEMETRY_OUTAGE, NoDataReason.LATE_DATA)
    gates = tuple(GateVerdict(gate="p99", kind="quantile", word=Word.NO_DATA, no_data=reason) for reason in reasons)
    desk = Desk(deploy(plan_text=text))
    (held,) = desk.hear(verdict(desk, Word.NO_DATA, gates=gates))
    assert isinstance(held, RolloutHeld)
    assert held.to == ("on-call",)


def test_a_page_that_would_call_nobody_is_refused_with_the_plan() -> None:
    text = SHORT.replace("exposure: 25%,", "exposure: 25%, on_no_data: {no_traffic: page},")
    (refused,) = Desk(deploy(plan_text=text)).said
    assert isinstance(refused, DeployRefused)
    assert "names nobody" in refused.detail


def test_a_verdict_that_is_still_watching_moves_nothing() -> None:
    desk = Desk(deploy())
    assert desk.hear(verdict(desk, Word.PASSED, final=False)) == []


def test_the_last_stage_ends_in_the_soak_and_the_soak_in_completion() -> None:
    desk = Desk(deploy(plan_text=with_soak()))
    desk.hear(verdict(desk, Word.PASSED))
    desk.hear(verdict(desk, Word.PASSED))
    assert desk.rollout["phase"] == "soaking"
    desk.hear(verdict(desk, Word.INCONCLUSIVE))
    assert desk.rollout["phase"] == "completed"


def test_a_soak_without_data_is_held_not_completed() -> None:
    desk = Desk(deploy(plan_text=with_soak()))
    for _ in range(2):
        desk.hear(verdict(desk, Word.PASSED))
    desk.hear(verdict(desk, Word.NO_DATA))
    assert desk.rollout["phase"] == "held"


def test_silence_of_the_telemetry_holds_when_the_dead_man_is_due() -> None:
    desk = Desk(deploy())
    due = moment() + timedelta(hours=1)
    stale = TimerFired(id="t0", source="/t", target=TARGET, time=due, timer="dead_man", due=due - timedelta(seconds=5))
    assert desk.hear(stale) == []
    fired = TimerFired(id="t", source="/t", target=TARGET, time=due, timer="dead_man", due=due)
    assert [event.type for event in desk.hear(fired)] == ["rollout.held"]


def test_a_rolled_back_version_stays_out_until_the_role_lifts_it() -> None:
    desk = Desk(deploy(), ask(RollbackRequested))
    rollout = desk.rollout["id"]
    (refused,) = desk.hear(deploy(number=2))
    assert isinstance(refused, DeployRefused)
    assert refused.reason == "quarantined"
    done = RollbackExecuted(
        id="x", source="/r", target=TARGET, time=moment(60), rollout=rollout, recovered=True, contained_seconds=0.1
    )
    assert desk.hear(done)[0].type == "rollback.completed"
    assert desk.hear(ask(LiftRequested, version="2", roles=("operator",)))[0].type == "command.refused"
    assert desk.hear(ask(LiftRequested, number=2, version="2"))[0].type == "quarantine.lifted"
    assert desk.hear(deploy(number=3))[0].type == "rollout.announced"


def test_a_newer_release_supersedes_a_live_one() -> None:
    desk = Desk(deploy())
    said = desk.hear(deploy(version="3", number=2))
    assert [event.type for event in said] == ["rollout.superseded", "rollout.announced", "stage.entered"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"plan_text": None}, "names no plan"),
        ({"plan_text": None, "plan_name": "nope"}, "no plan 'nope'"),
        ({"plan_text": "version: 2"}, "problems"),
        ({"plan_text": SHORT.replace("flag: banner", "flag: other")}, "the plan is for"),
    ],
)
def test_a_release_without_a_fitting_plan_starts_nothing(fields: dict[str, Any], words: str) -> None:
    (refused,) = Desk(deploy(**fields)).said
    assert isinstance(refused, DeployRefused)
    assert words in refused.detail


def test_a_registered_plan_is_found_by_the_target() -> None:
    desk = Desk(ask(PlanSubmitted, plan_text=SHORT), deploy(plan_text=None))
    assert desk.types() == ["plan.registered", "rollout.announced", "stage.entered"]


def test_a_completed_release_can_still_be_taken_back_by_a_person() -> None:
    desk = Desk(deploy())
    desk.hear(verdict(desk, Word.PASSED))
    desk.hear(verdict(desk, Word.PASSED))
    assert desk.rollout["phase"] == "completed"
    assert desk.hear(ask(RollbackRequested))[0].type == "rollback.started"


def test_ids_derive_from_the_cause_and_times_from_its_time() -> None:
    first, second = Desk(deploy()), Desk(deploy())
    assert [event.id for event in first.said] == [event.id for event in second.said]
    assert {event.time for event in first.said} == {moment()}
