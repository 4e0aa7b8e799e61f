"""Recorded rollouts get the verdicts they got: a change of the judge that moves one is seen, and meant or mended."""

import json

import pytest

from tests.bench.protocol import Program
from tests.replay.record_judge import HISTORIES, RECORDED, WRONG


def differences(name: str) -> list[str]:
    """Return where the judge departs from the record: verdict exactly, evidence within 5e-6."""
    program, found = Program(), []
    for line in (HISTORIES / name).read_text(encoding="utf-8").splitlines():
        message = json.loads(line)
        answer = program.feed(message)
        if answer is None:
            continue
        if answer["verdict"] != message["expect"]:
            found.append(f"t={message['t']}: {answer['verdict']}, recorded {message['expect']}")
        if answer["evidence"] != pytest.approx(message["evidence"], abs=5e-6):
            found.append(f"t={message['t']}: evidence {answer['evidence']}, recorded {message['evidence']}")
    return found


@pytest.mark.parametrize("name", [name for name in RECORDED if name != WRONG])
def test_a_recorded_rollout_gets_the_verdicts_it_got(name: str) -> None:
    assert differences(name) == []


def test_a_wrong_record_is_noticed() -> None:
    assert differences(WRONG) == ["t=11: pass, recorded fail"]


def test_the_records_hold_each_outcome() -> None:
    last = {name: json.loads((HISTORIES / name).read_text().splitlines()[-1])["expect"] for name in RECORDED}
    assert (last["judge_no_change.jsonl"], last["judge_errors_late.jsonl"]) == ("pass", "fail")
    assert last["judge_slow_tail.jsonl"] == "fail"
