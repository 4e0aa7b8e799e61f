"""`penstock bench gates`: CPU time of a judged window, intervals included, and the size of a rollout's state."""

import json
import time
from dataclasses import dataclass
from typing import Any

from penstock.cli.local import load

MOST_MS = 0.3
MOST_STATE = 64 * 1024


@dataclass(frozen=True)
class GatesBench:
    """Milliseconds a window (median, 99th percentile), and bytes of a rollout's state and of its history."""

    windows: int
    median_ms: float
    p99_ms: float
    learn_ms: float
    state_bytes: int
    history_bytes: int

    @property
    def within(self) -> bool:
        """Whether both goals are met."""
        return self.median_ms <= MOST_MS and self.state_bytes <= MOST_STATE

    def line(self) -> str:
        """Return the figures as one line."""
        return (
            f"judge: {self.median_ms:.3f} ms a window (p99 {self.p99_ms:.3f}; goal {MOST_MS}), four gates with "
            f"intervals, {self.windows} windows; history {self.learn_ms:.3f} ms a window; state "
            f"{self.state_bytes / 1024:.1f} KB (goal {MOST_STATE // 1024}), history {self.history_bytes / 1024:.1f} KB"
        )


def _timed(action: Any, items: list[Any]) -> list[float]:
    found = []
    for item in items:
        begin = time.thread_time()
        action(item)
        found.append((time.thread_time() - begin) * 1e3)
    return sorted(found)


def run(rounds: int = 5, seed: int = 1) -> GatesBench:
    """Judge a simulated rollout `rounds` times and return what it cost.

    Args:
        rounds: times the same 120 windows are judged.
        seed: of the simulated rollout.
    """
    judge, ours = load("gate_evaluation.judge"), load("bench.judge.ours", "tests")
    draw, scenarios = load("bench.judge.draw", "tests"), load("bench.judge.scenarios", "tests")
    past, drawn = draw.whole(scenarios.SCENARIOS[0], seed, 0)
    history = judge.History(ours.GATES)
    learned = _timed(history.update, past.windows())
    windows = [drawn.window(t) for t in range(120)]
    costs: list[float] = []
    running = judge.Judge.start(judge.JudgeSpec(ours.GATES), history)
    for _ in range(rounds):
        running = judge.Judge.start(judge.JudgeSpec(ours.GATES), history)
        costs += _timed(lambda window: running.observe(window, 0.05), windows)  # noqa: B023 - called at once
    costs.sort()
    state, past = (len(json.dumps(each.to_doc())) for each in (running, history))
    return GatesBench(
        len(costs), costs[len(costs) // 2], costs[int(len(costs) * 0.99)], learned[len(learned) // 2], state, past
    )
