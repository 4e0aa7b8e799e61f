"""`penstock metrics`: windows as they close, cohorts, gates and what is wrong with their telemetry."""

import json
from typing import Any

from tests.support.console.fake import TARGET, FakeConsole, event_row, sse
from tests.unit.cli.conftest import Run


def window(number: int, canary: int = 5, **fields: Any) -> dict[str, Any]:
    measures = {
        "canary": {"errors": {"kind": "ratio", "events": 1, "total": canary}},
        "baseline": {
            "errors": {"kind": "ratio", "events": 0, "total": 95},
            "p99": {"kind": "explicit", "count": 95, "sum": 9.5, "bounds": [1.0], "counts": [90, 5]},
        },
    }
    whole = {
        "start": f"2026-11-24T02:00:{number:02d}.000000Z",
        "end": f"2026-11-24T02:00:{number + 1:02d}.000000Z",
        "seconds": 1.0,
        "measures": measures,
        "halves": "instances",
        "export_interval": 0.5,
        "late": 1,
        **fields,
    }
    return {**event_row(number, "window.closed", **whole), "topic": "metric-windows"}


def refused() -> dict[str, Any]:
    return event_row(9, "windows.refused", asked=1.0, export_interval=60.0, widened_to=60.0)


def test_tail_prints_windows_as_they_close(run: Run, console: FakeConsole) -> None:
    console.streams = [[sse(1, window(1)), sse(2, refused()), sse(3, event_row(4)), sse(4, window(2, late=0))]]
    said = run("metrics", "tail", "--count", "3")
    first, second, third = said.out.splitlines()
    assert "canary: errors 1 of 5  baseline: errors 0 of 95, p99 95 values, mean 0.1" in first
    assert "late 1" in first
    assert "windows of 1 s refused: sources export every 60 s; widened to 60 s" in second
    assert "late" not in third


def test_tail_shows_one_target(run: Run, console: FakeConsole) -> None:
    console.streams = [[sse(1, window(1, target="production/cart/other")), sse(2, window(2))]]
    said = run("metrics", "tail", "--target", TARGET, "--count", "1", "--jsonl")
    assert json.loads(said.out)["event"]["target"] == TARGET


def test_cohorts_shows_what_each_cohort_reported(run: Run, console: FakeConsole) -> None:
    console.events = [window(1), window(2, canary=7)]
    said = run("metrics", "cohorts", "--json")
    assert json.loads(said.out)["cohorts"] == [
        {
            "target": TARGET,
            "windows": 2,
            "requests": {"canary": 12, "baseline": 190},
            "halves": "instances",
            "export_interval": 0.5,
            "late": 2,
        }
    ]
    assert "instances" in run("metrics", "cohorts").out


def test_names_shows_gates_and_what_is_wrong_with_them(run: Run, console: FakeConsole) -> None:
    console.events = [window(1), window(2, doubts={"p95": "default_buckets"})]
    found = {gate["gate"]: gate for gate in json.loads(run("metrics", "names", "--json").out)["names"]}
    assert (found["errors"]["canary"], found["p99"]["canary"], found["p99"]["baseline"]) == (2, 0, 2)
    assert found["p95"] == {
        "target": TARGET,
        "gate": "p95",
        "kind": None,
        "windows": 2,
        "canary": 0,
        "baseline": 0,
        "doubts": ["default_buckets"],
    }


def test_no_window_says_where_to_look(run: Run, console: FakeConsole) -> None:
    assert "penstock plans list" in run("metrics", "cohorts").out


def test_events_of_a_newer_version_are_passed_over(run: Run, console: FakeConsole) -> None:
    console.events = [event_row(1, "window.dreamt"), window(2)]
    assert len(json.loads(run("metrics", "cohorts", "--json").out)["cohorts"]) == 1


def test_why_explains_each_gate(run: Run, console: FakeConsole) -> None:
    console.events = [
        window(
            number,
            doubts={"errors": "unattributed", "p99": "bad_never_seen"},
            unattributed={"errors": {"share": 0.2, "reasons": {"other_variant": 4}, "values": ["purple"]}},
            not_bad={"p99": ["http.response.status_code=200"]},
            missing={
                "orders": {"metric": "orders", "names": ["shop.orders [1]"], "environments": ["production", ""]},
            },
            skew={"shop-2": 540.0},
            dropped={"late": 3},
        )
        for number in (1, 2)
    ]
    said = run("metrics", "why", TARGET).out
    assert "errors: windows measured: canary 2 of 2, baseline 2 of 2" in said
    assert "neither canary nor baseline in the plan (purple)" in said
    assert "left out: http.response.status_code=200" in said
    assert "no point of orders has come; the service sends: shop.orders [1]" in said
    assert "other environments: production, no environment at all" in said
    assert "the clock of shop-2 is ahead by about 540 s" in said
    assert "points were left out: late" in said
    one = json.loads(run("metrics", "why", TARGET, "orders", "--json").out)["gates"]
    assert [document["gate"] for document in one] == ["orders"]


def test_every_doubt_and_reason_has_an_explanation() -> None:
    from penstock.cli.plans import why
    from penstock.events import Doubt, Outside

    assert why._DOUBTS.keys() == set(Doubt)
    assert why._OUTSIDE.keys() == set(Outside)
