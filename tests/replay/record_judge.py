"""Writes the recorded histories: `python -m tests.replay.record_judge` after a change of verdicts that is meant."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.protocol import Program
from tests.support.judge.judging import histogram

HISTORIES = Path(__file__).parent / "histories"
WRONG = "judge_wrong_on_purpose.jsonl"
_GATES = [
    {"name": "error_rate", "kind": "ratio", "bad": "up", "tolerance": {"relative": 0.1, "absolute": 0.0005},
     "pass_margin": {"relative": 0.5, "absolute": 0.01}},
    {"name": "latency_p99", "kind": "quantile", "q": 0.99, "bad": "up", "tolerance": {"relative": 0.05},
     "pass_margin": {"relative": 0.5}},
    {"name": "memory", "kind": "gauge", "bad": "up", "tolerance": {"relative": 0.05},
     "pass_margin": {"relative": 0.15}},
]  # fmt: skip


def _cohort(rng: np.random.Generator, n: int, errors: float, slower: float) -> dict[str, Any]:
    drawn = histogram(rng.lognormal(4.0, 0.4, size=n) * slower, 3)
    memory = np.round(50.0 * (1 + 0.02 * rng.normal(size=3)), 3)
    latency = {"count": n, "sum": round(drawn.sum, 3), "scale": 3, "zero_count": 0, "offset": drawn.offset}
    return {
        "requests": n,
        "errors": int(rng.binomial(n, errors)),
        "latency_ms": {**latency, "counts": list(drawn.counts)},
        "memory": {"count": 3, "sum": float(memory.sum()), "sumsq": float((memory**2).sum())},
    }


def _lines(seed: int, errors: float, slower: float, windows: int, onset: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    past = [{"t": t - 15, "cohorts": {name: _cohort(rng, 600, 0.01, 1.0) for name in "ab"}} for t in range(15)]
    start = {"type": "start", "run": "recorded", "protocol": 1, "window_s": 60, "max_windows": windows, "split": 0.25,
             "alpha": 0.01, "alpha_pass": 0.05, "warmup_windows": 0, "metrics": _GATES, "history": past}  # fmt: skip
    found = [start]
    for t in range(windows):
        harm = (errors, slower) if t >= onset else (0.01, 1.0)
        cohorts = {"canary": _cohort(rng, 300, *harm), "baseline": _cohort(rng, 900, 0.01, 1.0)}
        found.append({"type": "window", "run": "recorded", "t": t, "cohorts": cohorts})
    return found


RECORDED = {
    "judge_no_change.jsonl": (1, 0.01, 1.0, 30, 0),
    "judge_errors_late.jsonl": (2, 0.06, 1.0, 20, 6),
    "judge_slow_tail.jsonl": (3, 0.01, 1.35, 20, 0),
    WRONG: (4, 0.01, 1.0, 12, 0),
}


def write() -> None:
    """Write every history with the verdicts of the present judge; the wrong one claims a failure at its end."""
    for name, (seed, errors, slower, windows, onset) in RECORDED.items():
        program, found = Program(), []
        for message in _lines(seed, errors, slower, windows, onset):
            answer = program.feed(message)
            if answer is not None:
                message = message | {"expect": answer["verdict"], "evidence": answer["evidence"]}
            found.append(message)
        if name == WRONG:
            found[-1]["expect"] = "fail"
        text = "".join(json.dumps(message, separators=(",", ":")) + "\n" for message in found)
        (HISTORIES / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
