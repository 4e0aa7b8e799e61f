"""The dead-man timer: armed by what was measured, by the time at which it was received; gone once it has fired."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from penstock.chain import Document, diff
from penstock.events import (
    ApprovalGranted,
    Authority,
    DeployAnnounced,
    Event,
    GateVerdict,
    HoldRequested,
    NoDataReason,
    PromotionRequested,
    Release,
    Request,
    RolloutAnnounced,
    StageJudged,
    TimerFired,
    Why,
    Word,
    from_json,
    to_json,
)
from services.rollout_control.decide import decide
from tests.support.metrics.windows import moment
from tests.support.plans import SHORT, TARGET, with_approval

AFTER = 80
HOLDS = SHORT.replace("after: 1h", f"after: {AFTER}s")
ROLLS_BACK = HOLDS.replace("action: hold", "action: rollback")
MEASURED = GateVerdict(gate="errors", kind="ratio", word=Word.INCONCLUSIVE)
ADVICE = GateVerdict(gate="past", kind="own_history", word=Word.PASSED, authority=Authority.ADVISE)
UNMEASURED = GateVerdict(gate="p99", kind="quantile", word=Word.NO_DATA, no_data=NoDataReason.TELEMETRY_OUTAGE)


class Rollout:
    """A target whose inputs are received second by second, whatever time they are stamped with."""

    def __init__(self, plan: str, stamped: float = 0.0) -> None:
        self.document: Document = {}
        self.events: list[Event] = []
        release = Release(service="shop", version="2", author="alice")
        fields: dict[str, Any] = {"release": release, "plan_text": plan, "actor": "ci", "grants": ("announce", "plan")}
        self.receive(0, DeployAnnounced(id="d", source="/ci", target=TARGET, time=moment(stamped), **fields))

    def receive(self, second: float, event: Event) -> list[Event]:
        decision = decide(TARGET, self.document, from_json(to_json(event)).received_at(moment(second)))
        self.document = decision.document
        self.events += decision.events
        return list(decision.events)

    def verdict(self, second: float, *gates: GateVerdict, stamped: float | None = None) -> list[Event]:
        rollout = self.document["rollout"]
        end = moment(second if stamped is None else stamped)
        word = min((gate.word for gate in gates), default=Word.NO_DATA, key=list(Word).index)
        event = StageJudged(
            id=f"v{second}",
            source="/j",
            target=TARGET,
            time=end,
            rollout=rollout["id"],
            stage=rollout["stage"],
            entry=rollout["entry"],
            window=f"w{second}",
            window_end=end,
            judged=1,
            word=word,
            gates=gates,
            judge="1",
            plan_hash="0",
        )
        return self.receive(second, event)

    def ask(self, second: float, kind: type[Request], **fields: Any) -> list[Event]:
        common: dict[str, Any] = {"reason": "because", "roles": ("release-manager",), "actor": "bob"} | fields
        return self.receive(second, kind(id=f"c{second}", source="/c", target=TARGET, time=moment(), **common))

    def waits_in(self, phase: str) -> None:
        """Let a person hold it, or promote it to a stage that asks for approval."""
        if phase == "held":
            self.ask(10, HoldRequested)
        else:
            self.ask(10, PromotionRequested, override=True)

    def fire(self) -> list[Event]:
        due = datetime.fromisoformat(self.document["timers"]["dead_man"])
        fired = TimerFired(id="t", source="/t", target=TARGET, time=due, timer="dead_man", due=due)
        return self.receive((due - moment()).total_seconds(), fired)

    @property
    def due(self) -> float | None:
        """Second at which the timer is due."""
        timer = self.document.get("timers", {}).get("dead_man")
        return (datetime.fromisoformat(timer) - moment()).total_seconds() if timer else None

    @property
    def phase(self) -> str:
        return str(self.document["rollout"]["phase"])


@pytest.mark.parametrize("stamped", [0, 86_400, -86_400, 60, -3600])
def test_it_is_armed_by_when_the_deploy_was_received_and_not_by_its_stamp(stamped: float) -> None:
    rollout = Rollout(HOLDS, stamped)
    assert rollout.due == AFTER
    assert {event.time for event in rollout.events} == {moment()}
    assert rollout.document["rollout"]["entered_at"] == to_json(rollout.events[0])["time"]


@pytest.mark.parametrize(("stamped", "reported"), [(0, False), (59, False), (-59, False), (61, True), (-86_400, True)])
def test_a_stamp_that_is_far_off_is_reported_with_the_announcement(stamped: float, reported: bool) -> None:
    [announced] = [event for event in Rollout(HOLDS, stamped).events if isinstance(event, RolloutAnnounced)]
    assert announced.stamped == (moment(stamped) if reported else None)


@pytest.mark.parametrize("stamped", [40, 86_400, -86_400])
def test_a_verdict_with_data_arms_it_again_from_when_it_was_received(stamped: float) -> None:
    rollout = Rollout(HOLDS)
    rollout.verdict(40, MEASURED, stamped=stamped)
    assert rollout.due == 40 + AFTER


@pytest.mark.parametrize("gates", [(), (UNMEASURED,), (UNMEASURED, ADVICE)])
def test_a_verdict_without_data_does_not(gates: tuple[GateVerdict, ...]) -> None:
    rollout = Rollout(ROLLS_BACK)
    for second in range(10, AFTER, 10):
        assert rollout.verdict(second, *gates) == []
    assert rollout.due == AFTER
    assert [event.type for event in rollout.fire()] == ["rollback.started", "version.quarantined"]


def test_a_verdict_with_one_gate_measured_does() -> None:
    rollout = Rollout(HOLDS)
    rollout.verdict(40, MEASURED, UNMEASURED)
    assert rollout.due == 40 + AFTER


def test_it_is_armed_again_at_most_eight_times_per_span() -> None:
    rollout = Rollout(HOLDS)
    written = 0
    for second in range(1, 10 * AFTER):
        before = rollout.document
        rollout.verdict(second, MEASURED)
        written += bool(diff(before, rollout.document))
        assert rollout.due is not None
        assert AFTER * 7 / 8 <= rollout.due - second <= AFTER
    assert written <= 80


def test_silence_of_a_held_release_rolls_it_back_where_the_plan_says_so() -> None:
    rollout = Rollout(ROLLS_BACK)
    rollout.ask(10, HoldRequested)
    assert rollout.phase == "held"
    rollout.verdict(30, MEASURED)
    assert rollout.due == 30 + AFTER
    (started, _) = rollout.fire()
    assert started.ground.why is Why.TELEMETRY_SILENT  # type: ignore[attr-defined]


def test_silence_while_an_exposed_release_awaits_approval_rolls_it_back_where_the_plan_says_so() -> None:
    rollout = Rollout(with_approval(ROLLS_BACK))
    rollout.ask(10, PromotionRequested, override=True)
    assert (rollout.phase, rollout.due) == ("awaiting_approval", AFTER)
    assert rollout.fire()[0].type == "rollback.started"


@pytest.mark.parametrize("phase", ["held", "awaiting_approval"])
def test_a_plan_that_holds_has_no_timer_while_the_rollout_waits_anyway(phase: str) -> None:
    rollout = Rollout(with_approval(HOLDS))
    rollout.ask(
        10,
        *((HoldRequested,) if phase == "held" else (PromotionRequested,)),
        **({} if phase == "held" else {"override": True}),
    )
    assert (rollout.phase, rollout.due) == (phase, None)
    if phase == "awaiting_approval":
        rollout.ask(20, ApprovalGranted, actor="carol")
        assert (rollout.phase, rollout.due) == ("baking", 20 + AFTER)


@pytest.mark.parametrize("phase", ["held", "awaiting_approval"])
def test_one_that_an_earlier_version_left_armed_fires_once_and_is_gone(phase: str) -> None:
    rollout = Rollout(with_approval(HOLDS))
    rollout.waits_in(phase)
    rollout.document |= {"timers": {"dead_man": (moment() + timedelta(seconds=AFTER)).isoformat()}}
    assert rollout.fire() == []
    assert rollout.due is None
    assert rollout.phase == phase


def test_one_that_is_armed_for_another_time_changes_nothing() -> None:
    rollout = Rollout(HOLDS)
    before = rollout.document
    stale = TimerFired(id="t", source="/t", target=TARGET, time=moment(5), timer="dead_man", due=moment(5))
    assert rollout.receive(5, stale) == []
    assert diff(before, rollout.document) == {}
