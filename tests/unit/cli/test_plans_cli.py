"""Plans from the command line."""

import json
from pathlib import Path

import pytest

from penstock.cli.exits import Exits
from penstock.cli.plans.scaffold import first_plan
from penstock.events import to_json
from penstock.plan import json_schema, load_plan
from penstock.targets import parse_target
from tests.support.console.fake import FakeConsole
from tests.support.metrics.windows import moment, window
from tests.unit.cli.conftest import Run

PLAN = Path(__file__).parents[3] / "deploy" / "plans" / "checkout.yaml"


def test_a_good_plan_has_no_findings_and_exits_0(run: Run) -> None:
    said = run("plans", "lint", str(PLAN))
    assert (said.code, said.out) == (0, f"{PLAN}: no problems\n")


def test_every_problem_is_listed_with_its_line_and_the_exit_code_is_2(run: Run, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    text = PLAN.read_text().replace("exposure: 5%", "exposure: 5").replace("owners: [team-payments]", "owners: []")
    wrong.write_text(text)
    said = run("plans", "lint", str(PLAN), str(wrong), "--jsonl")
    findings = [json.loads(line) for line in said.out.splitlines()]
    assert said.code == Exits.USAGE
    assert [finding["where"] for finding in findings] == ["owners", "stages.1.exposure"]
    lines = text.splitlines()
    assert "owners" in lines[findings[0]["line"] - 1]
    assert "exposure: 5" in lines[findings[1]["line"] - 1]


def test_a_file_that_is_not_there_is_a_usage_error(run: Run) -> None:
    assert run("plans", "lint", "nowhere.yaml").code == Exits.USAGE


def test_register_sends_the_exact_text(run: Run, console: FakeConsole) -> None:
    console.answers["/api/plans"] = (200, {"event": {"name": "checkout-payment-form", "target": "t", "plan_hash": "h"}})
    said = run("plans", "register", str(PLAN), "--reason", "first")
    assert said.code == 0
    assert console.requests[-1].content == PLAN.read_bytes()
    assert console.requests[-1].url.params["reason"] == "first"


def test_schema_prints_what_the_model_gives(run: Run) -> None:
    assert json.loads(run("plans", "schema").out) == json_schema()


def test_a_gate_that_cannot_see_its_margin_is_a_warning_and_no_problem(run: Run) -> None:
    said = run("plans", "lint", str(PLAN), "--traffic", "2", "--json")
    findings = json.loads(said.out)["findings"]
    assert said.code == 0
    assert {finding["kind"] for finding in findings} == {"warning"}
    assert any("stages.canary.errors" in finding["where"] for finding in findings)
    assert run("plans", "lint", str(PLAN), "--traffic", "20000", "--errors", "0.01").out == f"{PLAN}: no problems\n"


def test_power_tells_each_stage_and_gate_what_it_can_see(run: Run) -> None:
    rows = json.loads(run("plans", "power", str(PLAN), "--traffic", "200", "--json").out)["power"]
    assert {(row["stage"], row["gate"]) for row in rows} == {
        (stage, gate) for stage in ("canary", "half") for gate in ("errors", "p50", "p99")
    }
    assert "SEES" in run("plans", "power", str(PLAN), "--traffic", "200").out


def history(tmp_path: Path, windows: int, *more: str) -> Path:
    """Return a file of windows as `events list --jsonl` prints them, of the plan's target."""
    rows = []
    for number in range(windows):
        closed = window("production/checkout/new-payment-form", number, moment(), baseline=400)
        rows.append(json.dumps({"topic": "windows", "event": to_json(closed)}))
    file = tmp_path / "windows.jsonl"
    file.write_text("\n".join([*rows, *more]) + "\n")
    return file


def test_power_learns_the_noise_from_past_windows_and_says_so(run: Run, tmp_path: Path) -> None:
    past = history(tmp_path, 40)
    assumed = run("plans", "power", str(PLAN), "--traffic", "200")
    learnt = run("plans", "power", str(PLAN), "--traffic", "200", "--history", str(past))
    assert "assumed" in assumed.out
    assert "learnt from 3" in learnt.out
    warned = run("plans", "lint", str(PLAN), "--traffic", "2", "--history", str(past), "--json")
    assert any("learnt from 3" in finding["what"] for finding in json.loads(warned.out)["findings"])


@pytest.mark.parametrize("more", ["{", "[]", '{"event": 7}', '{"type": "window.closed"}'])
def test_a_history_that_cannot_be_read_is_a_usage_error(run: Run, tmp_path: Path, more: str) -> None:
    said = run("plans", "power", str(PLAN), "--traffic", "200", "--history", str(history(tmp_path, 1, more)))
    assert said.code == 2
    assert "windows.jsonl" in said.err


def test_a_history_of_another_target_is_no_history(run: Run, tmp_path: Path) -> None:
    file = history(tmp_path, 5)
    file.write_text(file.read_text().replace("new-payment-form", "other"))
    said = run("plans", "power", str(PLAN), "--traffic", "200", "--history", str(file))
    assert said.code == 2
    assert "holds no window of production/checkout/new-payment-form" in said.err


@pytest.mark.parametrize("options", [[], ["--quick"]])
def test_a_first_plan_loads_without_a_doubt(run: Run, tmp_path: Path, options: list[str]) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(run("plans", "init", "dev/shop/new-search", *options).out)
    said = run("plans", "lint", str(plan))
    assert (said.code, "warning" in said.out, "problem:" in said.out) == (0, False, False)
    assert load_plan(plan.read_text(), "plan.yaml").target.flag == "new-search"


def test_the_quick_plan_differs_where_it_must() -> None:
    target = parse_target("dev/shop/new-search")
    slow, quick = first_plan(target), first_plan(target, quick=True)
    for changed in ("length: 1s", "tolerance: {relative: 50%}", "absolute: 5pp", "exposure: 25%", "windows: 20,"):
        assert changed in quick
        assert changed not in slow


def test_a_first_plan_for_no_target_is_refused_with_what_a_target_is(run: Run) -> None:
    said = run("plans", "init", "dev/shop")
    assert (said.code, "environment/service/flag" in said.err) == (Exits.USAGE, True)
