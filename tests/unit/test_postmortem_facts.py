"""Postmortems: every fact comes from an event, what is not known is said so, and no name stands there unasked."""

from typing import Any

import pytest

from penstock.errors import NotFoundError
from penstock.events import (
    DeliveryFailed,
    DeliverySucceeded,
    Event,
    ExposureContained,
    GateVerdict,
    Ground,
    RecoveryVerified,
    Release,
    RollbackCompleted,
    RollbackRequested,
    RollbackStarted,
    RolloutAnnounced,
    Side,
    StageEntered,
    StageJudged,
    Why,
    Word,
)
from penstock.postmortem import Said, markdown, postmortem
from tests.support.builders import an
from tests.support.metrics.windows import moment, window
from tests.support.plans import SHORT, TARGET

ROLLOUT = "ro-0123456789ab"
WINDOWS = [window(TARGET, number, moment(), canary_slow=0.2) for number in range(5)]
P99 = GateVerdict(
    gate="p99",
    kind="quantile",
    word=Word.BREACH,
    final=True,
    canary=Side(n=400, events=40, value=0.4),
    baseline=Side(n=1200, events=12, value=0.09),
    estimate=3.4,
    low=1.1,
    high=5.0,
    tolerance=0.6,
    evidence=3.1,
    threshold=2.0,
    detail={"edge": 0.2},
)
ERRORS = GateVerdict(gate="errors", kind="ratio", word=Word.INCONCLUSIVE, canary=Side(n=400), baseline=Side(n=1200))


def said(*events: Event) -> list[Said]:
    return [Said(event, f"topic/0@{place}") for place, event in enumerate(events)]


def of_rollout(kind: type[Any], second: float, **fields: Any) -> Any:
    given: dict[str, Any] = {"id": f"{kind.__name__}-{second}", "target": TARGET, "time": moment(second), "actor": None}
    return an(kind, **{**given, "rollout": ROLLOUT, **fields})


@pytest.fixture
def record() -> list[Said]:
    """A rollout that p99 took back after four windows."""
    ground = Ground(why=Why.GATE_BREACHED, word=Word.BREACH, gates=(P99, ERRORS), window_end=moment(4))
    release = Release(service="shop", version="2.0", notes="faster | <b>checkout</b>", ticket="CHG-7", author="ada")
    started = of_rollout(
        RollbackStarted, 4, ground=ground, stage="canary", exposure=0.25, version="2.0", began_at=moment(0), sequence=3
    )
    told: dict[str, Any] = {"subscriber": "chat", "event": started.id, "event_type": "rollback.started"}
    return said(
        of_rollout(RolloutAnnounced, -1, release=release, plan_text=SHORT, plan_name="banner", actor="ada"),
        of_rollout(StageEntered, 0, stage="canary", exposure=0.25, soak=False),
        *WINDOWS,
        started,
        of_rollout(ExposureContained, 4.018, seconds=0.018, within=5.0, streams=3),
        of_rollout(RecoveryVerified, 7, windows=["w"]),
        of_rollout(RollbackCompleted, 7, recovered=True),
        of_rollout(DeliveryFailed, 4.1, **told, attempt=1, reason="answered 500"),
        of_rollout(DeliverySucceeded, 9.1, **told, attempt=2, seconds=0.01),
    )


def test_times_are_taken_between_the_events_that_mark_them(record: list[Said]) -> None:
    durations = postmortem(ROLLOUT, record).durations
    assert (durations.detect, durations.decide, durations.contain, durations.recover) == (4.0, 0.0, 0.018, 3.0)
    assert durations.safe == pytest.approx(0.018)


@pytest.mark.parametrize("end", [-86_400, 86_400])
def test_a_window_stamped_by_a_wrong_clock_gives_no_negative_times(record: list[Said], end: float) -> None:
    [started] = [one.event for one in record if isinstance(one.event, RollbackStarted)]
    wrong = started.model_copy(update={"ground": started.ground.model_copy(update={"window_end": moment(end)})})
    durations = postmortem(ROLLOUT, [Said(wrong, o.position) if o.event is started else o for o in record]).durations
    assert (durations.detect, durations.decide, durations.safe) == (4.0, None, None)


def test_detection_is_the_gate_that_breached_with_its_numbers(record: list[Said]) -> None:
    found = postmortem(ROLLOUT, record).detection
    assert found is not None
    assert [gate.gate for gate in found.gates] == ["p99"]
    text = markdown(postmortem(ROLLOUT, record))
    for number in ("+340.0 %", "+110.0 % to +500.0 %", "+60.0 %", "3.10 of 2.00", "0.4 of 400"):
        assert number in text, number


def test_impact_counts_the_requests_of_the_windows_and_what_went_beyond_the_baseline(record: list[Said]) -> None:
    impact = postmortem(ROLLOUT, record).impact
    assert impact.exposure == 0.25
    assert impact.requests == 5 * 60
    assert impact.complete
    p99, errors = impact.excess
    assert (p99.gate, errors.gate) == ("p99", "errors")
    assert (p99.canary_requests, p99.baseline_rate) == (300, 0.0)
    assert p99.excess == p99.canary_events > 30
    ratios = [measured.measures[cohort]["errors"] for cohort in ("canary", "baseline") for measured in WINDOWS]
    canary, baseline = sum(r.events for r in ratios[:5]), sum(r.events for r in ratios[5:])
    assert errors.excess == pytest.approx(canary - 300 * baseline / 300)


def test_a_cause_stands_before_what_it_led_to_at_the_same_time(record: list[Said]) -> None:
    verdict = of_rollout(StageJudged, 4, id="verdict", final=True, word="breach", cause=None)
    started = next(entry.event for entry in record if entry.event.type == "rollback.started")
    caused = started.model_copy(update={"cause": "verdict"})
    others = [entry for entry in record if entry.event is not started]
    types = [m.type for m in postmortem(ROLLOUT, [*said(caused, verdict), *others]).timeline]
    assert types.index("stage.judged") == types.index("rollback.started") - 1


def test_windows_that_are_missing_make_the_count_a_lower_bound_and_the_text_says_so(record: list[Said]) -> None:
    late = [entry for entry in record if entry.event.type != "window.closed" or entry.event.time > moment(3.5)]
    facts = postmortem(ROLLOUT, late)
    assert not facts.impact.complete
    assert "at least" in markdown(facts)
    assert "at least" not in markdown(postmortem(ROLLOUT, record))


def test_the_timeline_is_in_order_of_time_with_ids_and_positions_and_no_watching_verdicts(record: list[Said]) -> None:
    facts = postmortem(ROLLOUT, reversed(record))
    times = [moment.time for moment in facts.timeline]
    assert times == sorted(times)
    assert [moment.type for moment in facts.timeline][:2] == ["rollout.announced", "stage.entered"]
    assert not {moment.type for moment in facts.timeline} & {"window.closed", "delivery.failed"}
    assert all(moment.id and moment.position for moment in facts.timeline)


def test_a_subscriber_that_heard_at_last_is_told_apart_from_one_that_never_did(record: list[Said]) -> None:
    facts = postmortem(ROLLOUT, record)
    assert [(entry.subscriber, entry.attempts, entry.delivered) for entry in facts.notified] == [("chat", 2, True)]
    never = [entry for entry in record if entry.event.type != "delivery.succeeded"]
    assert [entry.delivered for entry in postmortem(ROLLOUT, never).notified] == [False]
    assert "not delivered" in markdown(postmortem(ROLLOUT, never))


def test_people_are_their_roles_unless_names_are_asked_for(record: list[Said]) -> None:
    asked = of_rollout(RollbackRequested, 3, actor="ada", roles=["operator"], reason="users complain", expected={})
    facts = postmortem(ROLLOUT, [*record, *said(asked)])
    assert "ada" not in markdown(facts)
    assert "operator" in markdown(facts)
    assert "ada" in markdown(facts, names=True)


def test_what_others_wrote_cannot_break_the_document(record: list[Said]) -> None:
    text = markdown(postmortem(ROLLOUT, record))
    assert "faster \\| &lt;b&gt;checkout&lt;/b&gt;" in text
    assert "<b>" not in text


def test_what_was_never_recorded_is_not_made_up(record: list[Said]) -> None:
    short = [entry for entry in record if entry.event.type in {"rollout.announced", "stage.entered"}]
    facts = postmortem(ROLLOUT, short)
    assert facts.detection is None
    assert set(facts.durations.__struct_fields__) == {"detect", "decide", "contain", "safe", "recover"}
    assert facts.durations.contain is None
    assert markdown(facts).count("not recorded") == 5
    assert facts.outcome == "under way"


def test_the_judgement_is_left_as_headed_blanks(record: list[Said]) -> None:
    text = markdown(postmortem(ROLLOUT, record))
    for heading in ("## Contributing factors", "## Lessons", "## Actions", "## Policy in force"):
        assert heading in text


def test_a_record_without_the_rollout_is_an_error(record: list[Said]) -> None:
    with pytest.raises(NotFoundError):
        postmortem("ro-ffffffffffff", record)
