"""Rollouts recorded on a real Kafka are decided again to the same decisions and ids; a forged one is found out."""

import json
from pathlib import Path

import pytest

from penstock.cli.record.evidence import load, save
from penstock.cli.record.postmortem import said_in
from penstock.cli.record.replay import deciders
from penstock.postmortem import markdown, postmortem
from penstock.replay import DECIDED_BY, Report, replay, what_if
from tests.support.plans import SHORT

HISTORIES = Path(__file__).parent / "histories"
REAL = ("rollout_promoted", "rollout_taken_back")


def replayed(name: str) -> Report:
    history, rollout = load(HISTORIES / f"{name}.jsonl")
    return replay(history, rollout, deciders())


@pytest.mark.parametrize("name", REAL)
def test_a_recorded_rollout_is_reproduced_by_every_service(name: str) -> None:
    report = replayed(name)
    assert report.differences == (), "if it was meant: python -m tests.replay.record_rollouts, and read what changed"
    assert report.reproduced
    assert report.skipped == {}
    assert set(report.by_log) == set(DECIDED_BY)
    assert report.by_log["verdict-log"] > 3
    assert report.by_log["rollout-log"] > 2
    assert report.windows > 2


def test_the_forged_history_is_found_out_by_its_one_word() -> None:
    report = replayed("rollout_wrong_on_purpose")
    assert not report.reproduced
    assert [(d.log, d.path, d.recorded, d.again) for d in report.differences if d.path.endswith(".word")] == [
        ("verdict-log", "events.0.word", "passed", "breach")
    ]


def test_the_forged_history_differs_from_the_real_one_in_nothing_else() -> None:
    logs = [load(HISTORIES / f"{name}.jsonl")[0].lines for name in ("rollout_taken_back", "rollout_wrong_on_purpose")]
    real, forged = ([json.loads(line.value) for line in lines if line.log == "verdict-log"] for lines in logs)
    changed = [
        place
        for place, (one, other) in enumerate(zip(real, forged, strict=True))
        if {**one, "prev": ""} != {**other, "prev": ""}
    ]
    assert len(changed) == 1


def test_a_history_survives_being_saved_and_read_again(tmp_path: Path) -> None:
    history, rollout = load(HISTORIES / "rollout_taken_back.jsonl")
    save(history, rollout, tmp_path / "again.jsonl")
    assert load(tmp_path / "again.jsonl") == (history, rollout)
    assert (tmp_path / "again.jsonl").read_bytes() == (HISTORIES / "rollout_taken_back.jsonl").read_bytes()


@pytest.mark.parametrize("name", REAL)
def test_the_same_plan_would_have_decided_the_same(name: str) -> None:
    history, rollout = load(HISTORIES / f"{name}.jsonl")
    flag = "good" if name == "rollout_promoted" else "bad"
    plan = SHORT.replace("flag: banner", f"flag: {flag}").replace("name: banner", f"name: {flag}")
    assert what_if(history, rollout, deciders(), plan) == []


def test_a_plan_that_only_advises_would_have_gone_on() -> None:
    history, rollout = load(HISTORIES / "rollout_taken_back.jsonl")
    plan = SHORT.replace("banner", "bad").replace("quantile: 0.99", "quantile: 0.99\n    authority: advise")
    lost = {part.recorded.type for part in what_if(history, rollout, deciders(), plan) if part.recorded}
    assert "rollback.started" in lost


def test_a_postmortem_can_be_drafted_from_a_history_alone() -> None:
    history, rollout = load(HISTORIES / "rollout_taken_back.jsonl")
    facts = postmortem(rollout, said_in(history))
    assert facts.detection is not None
    assert [gate.gate for gate in facts.detection.gates] == ["p99"]
    assert facts.impact.complete
    assert facts.impact.requests > 0
    assert facts.durations.recover is not None
    assert facts.detection.verdict in markdown(facts)


@pytest.mark.parametrize(("name", "code"), [("rollout_promoted", 0), ("rollout_wrong_on_purpose", 1)])
def test_the_command_ends_with_0_only_if_all_was_reproduced(
    name: str, code: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import penstock.cli

    monkeypatch.setattr("sys.argv", ["penstock", "replay", "--from", str(HISTORIES / f"{name}.jsonl")])
    with pytest.raises(SystemExit) as ended:
        penstock.cli.main()
    said = capsys.readouterr().out
    assert (ended.value.code or 0) == code
    assert ("all reproduced" in said) == (code == 0)
    assert ("events.0.word" in said) == (code == 1)
