"""What cannot be true is a typed error where it enters, or no data; it is never a verdict and never a zero."""

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from penstock.cli.plans.gates import app
from services.gate_evaluation.judge import Count, ExplicitHistogram, ExponentialHistogram, Gauge, MeasureError, Ratio
from tests.bench.protocol import Program
from tests.support.judge.judging import histogram

METRICS = [
    {"name": "error_rate", "kind": "ratio", "bad": "up", "tolerance": {"relative": 0.1, "absolute": 0.0005},
     "pass_margin": {"relative": 0.5, "absolute": 0.0025}, "slo_max": 0.01},
    {"name": "latency_p99", "kind": "quantile", "q": 0.99, "bad": "up", "tolerance": {"relative": 0.05, "absolute": 0},
     "pass_margin": {"relative": 0.2, "absolute": 0}},
    {"name": "memory", "kind": "gauge", "bad": "up", "tolerance": {"relative": 0.05}, "pass_margin": {"relative": 0.1}},
]  # fmt: skip


def part(rng: np.random.Generator, n: int, rate: float = 0.005) -> dict[str, Any]:
    """Return one cohort of the protocol."""
    drawn = histogram(rng.lognormal(4.0, 0.5, size=n))
    memory = (50.0 * (1 + 0.02 * rng.normal(size=3))).tolist()
    return {
        "requests": n,
        "errors": int(rng.binomial(n, rate)),
        "latency_ms": {"count": n, "sum": drawn.sum, "sumsq": 0.0, "scale": 4, "zero_count": 0,
                       "offset": drawn.offset, "counts": list(drawn.counts)},
        "memory": {"count": 3, "sum": sum(memory), "sumsq": sum(v * v for v in memory)},
    }  # fmt: skip


def start(run: str = "r", windows: int = 8, seed: int = 1) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    past = [{"t": t - 40, "cohorts": {"a": part(rng, 2000), "b": part(rng, 2000)}} for t in range(40)]
    return {"type": "start", "run": run, "protocol": 1, "window_s": 60, "max_windows": windows, "warmup_windows": 0,
            "split": 0.1, "alpha": 0.01, "alpha_pass": 0.05, "metrics": METRICS, "history": past}  # fmt: skip


def window(t: int, rate: float = 0.005, seed: int = 2) -> dict[str, Any]:
    rng = np.random.default_rng([seed, t])
    return {
        "type": "window",
        "run": "r",
        "t": t,
        "cohorts": {"canary": part(rng, 400, rate), "baseline": part(rng, 3600)},
    }


@pytest.mark.parametrize(
    "make",
    [
        lambda: Ratio(-1, 10),
        lambda: Ratio(11, 10),
        lambda: Ratio(math.nan, 10),
        lambda: Ratio(1, math.inf),
        lambda: Count(-1, 1),
        lambda: Gauge(-1, 0),
        lambda: Gauge(1, math.nan),
        lambda: ExponentialHistogram(3, 0, 4, 0, 0, [1, -1, 3]),
        lambda: ExponentialHistogram(5, 0, 4, 0, 0, [1, 1]),
        lambda: ExponentialHistogram(2, 0, 99, 0, 0, [1, 1]),
        lambda: ExponentialHistogram(2, 0, 4, 0, 0, [1, math.nan]),
        lambda: ExplicitHistogram((1, 2), (1, 1), 0),
        lambda: ExplicitHistogram((2, 1), (1, 1, 1), 0),
        lambda: ExplicitHistogram((1, math.inf), (1, 1, 1), 0),
    ],
)
def test_a_measure_that_cannot_be_true_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(MeasureError):
        make()


def spoiled(change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    message = window(7)
    change(message["cohorts"])
    return message


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c["canary"].update(errors=-3),
        lambda c: c["canary"].update(errors=500),
        lambda c: c["canary"].update(requests=None),
        lambda c: c["canary"].update(errors=math.nan),
        lambda c: c["canary"].pop("errors"),
        lambda c: c["canary"]["latency_ms"].update(counts=[-1, 401]),
        lambda c: c["canary"]["latency_ms"].update(counts="many"),
        lambda c: c["canary"]["latency_ms"].update(scale=99),
        lambda c: c["canary"]["memory"].update(sum=-5),
        lambda c: c["canary"].pop("memory"),
        lambda c: c.pop("canary"),
        lambda c: c.update(canary=None),
        lambda c: c.update(baseline={}),
        lambda c: c.clear(),
    ],
)
def test_a_spoiled_last_window_is_never_a_pass_nor_a_failure(change: Callable[[dict[str, Any]], Any]) -> None:
    program = Program()
    program.feed(start())
    for t in range(7):
        program.feed(window(t))
    answer = program.feed(spoiled(change))
    assert answer is not None
    assert answer["verdict"] == "inconclusive"


def test_good_windows_beside_a_spoiled_one_still_decide() -> None:
    program = Program()
    program.feed(start(windows=40))
    answers = []
    for t in range(12):
        message = window(t, rate=0.05)
        if t == 1:
            message["cohorts"]["canary"]["errors"] = -1
        answers.append(program.feed(message))
    assert answers[-1] is not None
    assert answers[-1]["verdict"] == "fail"


def lines(*messages: object) -> str:
    return "".join((message if isinstance(message, str) else json.dumps(message)) + "\n" for message in messages)


def test_the_program_answers_each_window_and_the_end_and_nothing_to_a_start() -> None:
    sent = lines(start(windows=60), *(window(t) for t in range(60)), {"type": "end", "run": "r"})
    done = CliRunner().invoke(app, ["judge"], input=sent)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == 61
    assert {answer["verdict"] for answer in answers[:59]} == {"continue"}
    assert answers[59]["verdict"] == answers[60]["verdict"] == "pass"
    assert all(answer["run"] == "r" and isinstance(answer["flags"], list) for answer in answers)


def test_the_first_final_verdict_stays() -> None:
    sent = lines(
        start(windows=20), *(window(t, 0.1 if t < 5 else 0.005) for t in range(20)), {"type": "end", "run": "r"}
    )
    answers = [
        json.loads(line)["verdict"] for line in CliRunner().invoke(app, ["judge"], input=sent).stdout.splitlines()
    ]
    first = answers.index("fail")
    assert first < 5
    assert set(answers[first:]) == {"fail"}


def test_runs_follow_one_another_without_memory() -> None:
    bad = [dict(window(t, 0.1), run="bad") for t in range(5)]
    good = [window(t) for t in range(8)]
    alone = CliRunner().invoke(app, ["judge"], input=lines(start(), *good)).stdout
    after = CliRunner().invoke(app, ["judge"], input=lines(start("bad"), *bad, start(), *good)).stdout
    assert after.splitlines()[5:] == alone.splitlines()


def test_nonsense_lines_are_answered_and_the_run_goes_on() -> None:
    sent = lines("{", "[]", {"type": "window", "run": "x"}, {"type": "??"}, start(windows=3), window(0))
    answers = [json.loads(line) for line in CliRunner().invoke(app, ["judge"], input=sent).stdout.splitlines()]
    assert [answer["verdict"] for answer in answers] == ["continue"] * 5
    assert all("error" in answer for answer in answers[:4])
    assert "error" not in answers[4]


def test_the_wrong_split_is_flagged() -> None:
    program = Program()
    program.feed(start(windows=30) | {"split": 0.3})
    answer = [program.feed(window(t)) for t in range(10)][-1]
    assert answer is not None
    assert answer["flags"] == ["srm"]


def test_details_carry_every_gate() -> None:
    sent = lines(start(windows=5), window(0))
    answer = json.loads(CliRunner().invoke(app, ["judge", "--details"], input=sent).stdout)
    assert [gate["name"] for gate in answer["gates"]] == ["error_rate", "latency_p99", "memory"]
    assert answer["gates"][0]["low"] is None or answer["gates"][0]["low"] < answer["gates"][0]["high"]


def test_calibrate_tells_the_noise_of_each_gate(tmp_path: Any) -> None:
    file = tmp_path / "history.jsonl"
    file.write_text(lines(start()))
    done = CliRunner().invoke(app, ["calibrate", str(file)])
    assert done.exit_code == 0
    assert "latency_p99: " in done.stdout
    assert "half a against half b" in done.stdout
