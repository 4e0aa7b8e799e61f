"""Replay: the record is decided again, and whatever was changed in it shows."""

from base64 import b64encode
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from penstock import ids
from penstock.chain import Record, digest_of, encode, genesis
from penstock.chain.record import digest
from penstock.errors import CorruptError, EvidenceExpiredError, NotFoundError
from penstock.events import DeployAnnounced, Event, HoldRequested, Release, Word
from penstock.replay import History, Line, fold_history, replay, what_if
from penstock.replay.likeness import differences_of
from services.gate_evaluation.decide import decide as judge
from services.gate_evaluation.state import pack
from services.rollout_control.decide import decide as steer
from tests.support.builders import an
from tests.support.deciders.histories import Recorder
from tests.support.metrics.windows import moment, window
from tests.support.plans import SHORT, TARGET

DECIDERS = {"gate_evaluation": judge, "rollout_control": steer}
BEGAN = moment()
ROLLOUT = ids.rollout_id("/ci", "deploy-1", TARGET)


def deploy(plan: str = SHORT) -> DeployAnnounced:
    release = Release(service="shop", version="2.0", author="ada")
    return an(
        DeployAnnounced,
        id="deploy-1",
        source="/ci",
        target=TARGET,
        time=BEGAN,
        release=release,
        plan_text=plan,
        plan_name=None,
        rollout=None,
        cause=None,
        actor="ci",
        grants=("announce", "plan"),
    )


def windows(count: int, **how: Any) -> list[tuple[str, Event]]:
    return [("window-log", window(TARGET, number, BEGAN, **how)) for number in range(count)]


def recorded(*inputs: tuple[str, Event], plan: str = SHORT) -> Recorder:
    recorder = Recorder(DECIDERS)
    recorder.play([("deploys", deploy(plan)), *inputs])
    return recorder


@pytest.fixture(scope="module")
def bad() -> History:
    """A release whose p99 breaches and that is taken back."""
    return recorded(*windows(12, canary_slow=0.2)).history


def changed(history: History, log: str, place: int, **fields: Any) -> History:
    """The history with one record's fields otherwise, and everything after it chained to the new bytes."""
    own = [line for line in history.lines if line.log == log]
    records = [msgspec.json.decode(line.value, type=Record) for line in own]
    records[place] = msgspec.structs.replace(records[place], **fields)
    prev, lines = records[0].prev, []
    for line, record in zip(own, records, strict=True):
        value = encode(msgspec.structs.replace(record, prev=prev))
        prev = digest(value)
        lines.append(Line(log, line.offset, value))
    others = tuple(line for line in history.lines if line.log != log)
    return replace(history, lines=(*others, *lines))


def records_of(history: History, log: str) -> list[Record]:
    return [msgspec.json.decode(line.value, type=Record) for line in history.lines if line.log == log]


def test_a_rollout_that_was_taken_back_is_reproduced_to_the_last_id(bad: History) -> None:
    report = replay(bad, ROLLOUT, DECIDERS)
    assert report.reproduced
    assert report.by_log["rollout-log"] >= 2
    assert report.by_log["verdict-log"] >= 3
    assert report.sentence == f"{report.records} records, {report.decisions} decisions, all reproduced"
    types = [event["type"] for record in records_of(bad, "rollout-log") for event in record.events]
    assert "rollback.started" in types


def test_a_decider_that_decides_otherwise_is_found_out(bad: History) -> None:
    def milder(target: str, document: dict[str, Any], event: Event) -> Any:
        decision = judge(target, document, event)
        softer = tuple(
            said.model_copy(update={"word": Word.INCONCLUSIVE}) if getattr(said, "word", "") == Word.BREACH else said
            for said in decision.events
        )
        return replace(decision, events=softer)

    report = replay(bad, ROLLOUT, {**DECIDERS, "gate_evaluation": milder})
    assert not report.reproduced
    assert {difference.path for difference in report.differences} == {"events.0.word"}
    assert "1 records differ" in report.sentence


def test_a_number_that_was_changed_in_the_record_is_found_though_every_digest_fits(bad: History) -> None:
    records = records_of(bad, "verdict-log")
    place, record = next((i, r) for i, r in enumerate(records) if r.events and r.events[0]["word"] == "breach")
    events = ({**record.events[0], "word": "passed"}, *record.events[1:])
    report = replay(changed(bad, "verdict-log", place, events=events), ROLLOUT, DECIDERS)
    assert [(d.log, d.path, d.recorded, d.again) for d in report.differences] == [
        ("verdict-log", "events.0.word", "passed", "breach")
    ]


def test_bytes_changed_under_the_chain_break_it(bad: History) -> None:
    own = [line for line in bad.lines if line.log == "verdict-log"]
    middle = own[len(own) // 2]
    forged = Line(middle.log, middle.offset, middle.value.replace(b'"code":"1.0"', b'"code":"6.6"'))
    lines = tuple(forged if line is middle else line for line in bad.lines)
    with pytest.raises(CorruptError, match=f"offset {middle.offset + 1} on"):
        fold_history(replace(bad, lines=lines))


def test_a_record_taken_out_breaks_the_chain(bad: History) -> None:
    own = [line for line in bad.lines if line.log == "verdict-log"]
    with pytest.raises(CorruptError, match="changed or removed"):
        fold_history(replace(bad, lines=tuple(line for line in bad.lines if line is not own[1])))


def test_a_log_whose_beginning_is_gone_is_expired_evidence(bad: History) -> None:
    first = next(line for line in bad.lines if line.log == "verdict-log")
    with pytest.raises(EvidenceExpiredError, match="verdict-log"):
        replay(replace(bad, lines=tuple(line for line in bad.lines if line is not first)), ROLLOUT, DECIDERS)


def test_a_record_that_lost_its_race_is_counted_and_otherwise_left_alone(bad: History) -> None:
    own = [line for line in bad.lines if line.log == "rollout-log"]
    loser = msgspec.json.decode(own[0].value, type=Record)
    late = encode(msgspec.structs.replace(loser, code="other copy"))
    lines = (*(line for line in bad.lines if line.log != "rollout-log"), own[0], Line("rollout-log", 1, late))
    lines += tuple(Line("rollout-log", line.offset + 1, line.value) for line in own[1:])
    report = replay(replace(bad, lines=lines), ROLLOUT, DECIDERS)
    assert report.reproduced
    assert report.ignored == 1


def test_a_window_that_the_window_log_does_not_hold_is_a_difference(bad: History) -> None:
    first = genesis("memory", "window-log", 0)
    record = Record(first, {}, TARGET, events=({"type": "window.closed"},), state=digest_of({}))
    report = replay(replace(bad, lines=(*bad.lines, Line("window-log", 0, encode(record)))), ROLLOUT, DECIDERS)
    assert not report.reproduced
    assert all(difference.path.startswith("inputs.window-log@") for difference in report.differences)


def test_replay_can_stop_at_a_sequence_number(bad: History) -> None:
    report = replay(bad, ROLLOUT, DECIDERS, last=2)
    assert report.reproduced
    assert report.by_log == {"verdict-log": 1, "rollout-log": 1}


def test_a_rollout_that_is_not_in_the_log_is_not_found_and_never_reproduced(bad: History) -> None:
    with pytest.raises(NotFoundError):
        replay(bad, "ro-000000000000", DECIDERS)


def test_statistics_may_differ_in_the_last_bits_and_nothing_else_may() -> None:
    assert not list(differences_of({"a": 1.0, "code": "1"}, {"a": 1.0 + 1e-12, "code": "2"}))
    assert list(differences_of({"a": 1.0}, {"a": 1.0 + 1e-6})) == [("a", 1.0, 1.0 + 1e-6)]
    assert list(differences_of({"id": "x"}, {"id": "y"})) == [("id", "x", "y")]
    assert list(differences_of({"final": True}, {"final": 1})) == [("final", True, 1)]
    assert list(differences_of([1], [1, 2])) == [("", [1], [1, 2])]


def test_packed_numbers_are_compared_as_numbers() -> None:
    assert not list(differences_of({"judge": pack([1.0, 2.0])}, {"judge": pack([1.0, 2.0 + 1e-13])}))
    found = list(differences_of({"judge": pack([1.0, 2.0])}, {"judge": pack([1.0, 2.5])}))
    assert found == [("judge.1", 2.0, 2.5)]


def test_the_same_plan_departs_nowhere(bad: History) -> None:
    assert what_if(bad, ROLLOUT, DECIDERS, SHORT) == []


def test_another_plan_shows_where_its_decisions_part(bad: History) -> None:
    milder = SHORT.replace("quantile: 0.99\n", "quantile: 0.99\n    authority: advise\n")
    found = what_if(bad, ROLLOUT, DECIDERS, milder)
    assert ("rollback.started", "gate_breached") in {
        (part.recorded.type, part.recorded.why) for part in found if part.recorded
    }
    assert all(part.recorded is None or part.recorded.type != "rollout.announced" for part in found)


def test_a_dead_man_timer_that_the_record_did_not_need_fires_under_a_plan_that_has_it() -> None:
    hold = an(
        HoldRequested,
        id="hold-1",
        source="/ada",
        target=TARGET,
        time=moment(50),
        rollout=ROLLOUT,
        cause=None,
        expected={},
    )
    history = recorded(*windows(3), ("commands", hold)).history
    found = what_if(history, ROLLOUT, DECIDERS, SHORT.replace("after: 1h", "after: 20s"))
    assert "telemetry_silent" in {part.instead.why for part in found if part.instead}


def test_arrays_of_the_judge_are_compared_as_numbers_too() -> None:
    def kept(*numbers: float) -> dict[str, Any]:
        return {"judge": pack({"shape": [len(numbers)], "f8": b64encode(np.array(numbers, "<f8").tobytes()).decode()})}

    nan = float("nan")
    assert not list(differences_of(kept(1.0, nan, -0.0), kept(1.0 + 1e-13, nan, 0.0)))
    assert list(differences_of(kept(1.0, 2.0), kept(1.0, 2.1))) == [("judge.f8.1", 2.0, 2.1)]
    assert list(differences_of(kept(1.0), kept(1.0, 2.0)))
