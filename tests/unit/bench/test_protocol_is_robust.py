"""Whatever stands on a line, the judge program lives, answers it in its type, and makes no verdict of it."""

import copy
import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from penstock.cli.plans.gates import app
from penstock.errors import InvalidError
from tests.bench.protocol import Program
from tests.unit.gate_evaluation.test_bad_input import lines, start, window

VERDICTS = {"continue", "pass", "fail", "inconclusive"}
ODD = [
    None,
    True,
    "",
    "7",
    [],
    {},
    -1,
    0,
    0.5,
    1e308,
    -1e308,
    10**400,
    math.nan,
    math.inf,
    1e-308,
    "NaN",
    [1],
    {"a": 1},
]


def answers(sent: str | bytes) -> list[dict[str, Any]]:
    """Return what the command answers; it must have ended well."""
    done = CliRunner().invoke(app, ["judge", "--details"], input=sent)
    assert done.exit_code == 0, done.exception
    found = [json.loads(line, parse_constant=_refuse) for line in done.stdout.splitlines()]
    assert all(answer["verdict"] in VERDICTS and isinstance(answer["flags"], list) for answer in found)
    return found


def _refuse(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    keys = value.keys() if isinstance(value, dict) else range(min(len(value), 3)) if isinstance(value, list) else ()
    return [path] * bool(path) + [place for key in keys for place in _places(value[key], (*path, key))]


def _with(message: dict[str, Any], place: tuple[Any, ...], value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(message)
    inner: Any = changed
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return changed


START, WINDOW = start(windows=3), window(1)


@given(place=st.sampled_from(_places(WINDOW)), value=st.sampled_from(ODD))
@settings(max_examples=150, deadline=None)
def test_a_window_with_anything_anywhere_neither_kills_nor_decides(place: tuple[Any, ...], value: Any) -> None:
    program = Program(details=True)
    program.feed(START)
    program.feed(window(0))
    try:
        answer = program.feed(_with(WINDOW, place, value))
    except InvalidError:
        answer = None
    assert answer is None or answer["verdict"] in {"continue", "inconclusive"}
    # What came of it did not stay: the next window is judged as if nothing had been.
    last = program.feed(window(2))
    assert last is not None
    assert last["verdict"] in {"inconclusive", "pass"}


@given(place=st.sampled_from(_places({**START, "history": START["history"][:2]})), value=st.sampled_from(ODD))
@settings(max_examples=150, deadline=None)
def test_a_start_with_anything_anywhere_begins_or_is_refused(place: tuple[Any, ...], value: Any) -> None:
    program = Program(details=True)
    try:
        program.feed(_with({**START, "history": START["history"][:2]}, place, value))
    except InvalidError:
        with pytest.raises(InvalidError):
            program.feed(window(0))
        return
    for t in range(2):
        try:
            answer = program.feed(window(t))
        except InvalidError:
            continue
        assert answer is not None
        assert answer["verdict"] in {"continue", "inconclusive", "pass"}


@given(st.lists(st.binary(max_size=40), max_size=5))
@settings(max_examples=40, deadline=None)
def test_lines_of_bytes_are_answered_and_the_run_beside_them_goes_on(junk: list[bytes]) -> None:
    sent = b"\n".join([*junk, lines(START, window(0)).encode()])
    assert [answer["verdict"] for answer in answers(sent)][-1:] == ["continue"]
    assert "error" not in answers(sent)[-1]


def test_nesting_numbers_and_encodings_beyond_reading_are_answered() -> None:
    sent = b"\n".join(
        [b"[" * 100_000, b'{"a":' * 50_000, b"9" * 6000, b"\xff\xfe", b"\x00", b"nul", lines(START, window(0)).encode()]
    )
    found = answers(sent)
    assert ["error" in answer for answer in found] == [True] * 6 + [False]


def test_runs_that_are_interleaved_have_nothing_of_each_other() -> None:
    one, two = start("one"), start("two", seed=5)
    harmful, calm = [window(t, 0.1) | {"run": "one"} for t in range(8)], [window(t) | {"run": "two"} for t in range(8)]
    apart = [answers(lines(first, *rest)) for first, rest in ((one, harmful), (two, calm))]
    mixed = answers(lines(one, two, *(message for pair in zip(harmful, calm, strict=True) for message in pair)))
    assert mixed[::2] == apart[0]
    assert mixed[1::2] == apart[1]


@pytest.mark.parametrize("t", [1, 0, -1, 8, 1.5, "2", None, True])
def test_a_window_out_of_turn_is_no_evidence(t: Any) -> None:
    rest = [window(number) for number in (2, 3)]
    plain = answers(lines(start(), window(0), window(1), *rest))
    found = answers(lines(start(), window(0), window(1), window(1, 0.5) | {"t": t}, *rest))
    assert "error" in found[2]
    assert found[:2] + found[3:] == plain


def test_a_refused_line_after_a_verdict_repeats_the_verdict() -> None:
    found = answers(lines(start(), *(window(t, 0.2) for t in range(6)), window(2), {"type": "window", "run": "r"}))
    assert [answer["verdict"] for answer in found[-2:]] == ["fail", "fail"]


def test_a_start_that_is_refused_ends_the_run_of_its_name() -> None:
    found = answers(lines(start(), window(0), start() | {"split": 0}, window(1), {"type": "end", "run": "r"}))
    assert ["error" in answer for answer in found] == [False, True, True]


def test_a_window_without_a_cohort_or_without_requests_decides_nothing() -> None:
    idle = window(1)
    idle["cohorts"]["canary"] = {"requests": 0, "errors": 0}
    everything = window(2)
    everything["cohorts"].pop("baseline")
    found = answers(lines(start(windows=4), window(0), idle, everything, window(3)))
    assert [answer["verdict"] for answer in found[:3]] == ["continue"] * 3
    assert {gate["no_data"] for gate in found[1]["gates"]} == {"no_traffic"}
    assert {gate["no_data"] for gate in found[2]["gates"]} == {"telemetry_outage"}


def test_an_end_without_windows_is_undecided() -> None:
    assert answers(lines(start(), {"type": "end", "run": "r"})) == [{"run": "r", "verdict": "continue", "flags": []}]


def test_without_any_history_or_with_two_days_of_it_the_same_run_is_judged() -> None:
    none, huge = start() | {"history": []}, start()
    huge["history"] = huge["history"] * 72
    harmful = [window(t, 0.1) for t in range(6)]
    assert [answers(lines(first, *harmful))[-1]["verdict"] for first in (none, huge)] == ["fail", "fail"]


def test_histograms_of_other_scales_are_compared_and_impossible_ones_are_not() -> None:
    coarse = window(1)
    latency = coarse["cohorts"]["baseline"]["latency_ms"]
    latency |= {"scale": 99}
    found = answers(lines(start(), window(0), coarse))[-1]
    assert {gate["name"]: gate["no_data"] for gate in found["gates"]}["latency_p99"] == "telemetry_outage"
    assert {gate["name"]: gate["no_data"] for gate in found["gates"]}["error_rate"] is None
