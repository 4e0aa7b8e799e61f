"""Runs scenarios and adds up what each method did; a run is drawn from (seed, number), so any row can be repeated."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np

from services.gate_evaluation.judge import History
from tests.bench.judge import bounds, ours, peers
from tests.bench.judge.draw import before, draw, draw_past
from tests.bench.judge.outcome import Outcome
from tests.bench.judge.scenarios import SCENARIOS, Expect, Scenario, World
from tests.bench.judge.tails import Floats

FALSE_ROLLBACK = 0.01
FALSE_PASS = 0.05
OURS = "penstock"


@dataclass(frozen=True, slots=True)
class Row:
    """One scenario under one method.

    Attributes:
        runs, failed, passed: how many; early: rolled back before the change began.
        median, p95: windows from the change to the rollback over all runs (None: not found in that many).
        upper: 95 % upper bound of the share rolled back.
    """

    scenario: Scenario
    method: str
    runs: int
    failed: int
    early: int
    passed: int
    median: float | None
    p95: float | None
    upper: float

    @property
    def rolled_back(self) -> float:
        """Share of runs rolled back."""
        return self.failed / self.runs

    def misses(self) -> list[str]:
        """Return the bounds that our judge misses in this row."""
        scenario, found = self.scenario, []
        if scenario.expect in (Expect.NO_CHANGE, Expect.EDGE):
            sure = bounds.lower(self.failed, self.runs) > FALSE_ROLLBACK
            if sure or (self.runs >= 1000 and self.rolled_back > FALSE_ROLLBACK):
                found.append(f"rolled back {self.rolled_back:.1%}, at most {FALSE_ROLLBACK:.0%}")
        if scenario.expect is Expect.REGRESSION and (self.failed - self.early) / self.runs < scenario.found:
            found.append(f"found {(self.failed - self.early) / self.runs:.1%}, at least {scenario.found:.0%}")
        if scenario.median is not None and (self.median is None or self.median > scenario.median):
            found.append(f"median {self.median} windows, at most {scenario.median:g}")
        if scenario.expect is Expect.BEYOND and bounds.lower(self.passed, self.runs) > FALSE_PASS:
            found.append(f"passed {self.passed / self.runs:.1%}, at most {FALSE_PASS:.0%}")
        return found


@dataclass(frozen=True, slots=True)
class _Before:
    """What is kept of a run's past: what it taught, the usual values of the metrics, and the generator's state."""

    taught: dict[str, Any]
    usual: Floats
    state: Mapping[str, Any]


_pasts: dict[tuple[World, int, int], _Before] = {}
"""Of this process: scenarios whose worlds are alike before the rollout share the pasts of their runs."""


def _past(world: World, seed: int, number: int) -> _Before:
    key = (before(world), seed, number)
    if key not in _pasts:
        past = draw_past(world, seed, number)
        _pasts[key] = _Before(ours.learn(past).to_doc(), peers.usual(past), past.state)
    return _pasts[key]


def _judge_all(scenario: Scenario, seed: int, with_peers: bool, number: int) -> dict[str, Outcome]:
    past = _past(scenario.world, seed, number)
    run = draw(scenario, past.state)
    found = {OURS: ours.judge_run(scenario, run, History.from_doc(ours.GATES, past.taught))}
    if with_peers:
        found["thresholds"] = peers.thresholds(scenario, run, past.usual)
        found["relative thresholds"] = peers.relative(scenario, run)
        found["Mann-Whitney each look"], found["Mann-Whitney at the end"] = peers.mann_whitney(scenario, run)
    return found


def _judge_shard(scenario: Scenario, seed: int, with_peers: bool, numbers: range) -> list[dict[str, Outcome]]:
    return [_judge_all(scenario, seed, with_peers, number) for number in numbers]


def _row(scenario: Scenario, method: str, outcomes: Sequence[Outcome]) -> Row:
    onset = scenario.change.onset
    after = [o.failed_at - onset + 1 for o in outcomes if o.failed_at is not None and o.failed_at >= onset]
    early = sum(o.failed_at is not None and o.failed_at < onset for o in outcomes)
    delays = np.array(sorted(after) + [np.inf] * (len(outcomes) - len(after)))
    middle, high = (float(np.quantile(delays, q, method="inverted_cdf")) for q in (0.5, 0.95))
    failed = len(after) + early
    return Row(
        scenario, method, len(outcomes), failed, early, sum(o.passed for o in outcomes),
        middle if np.isfinite(middle) else None, high if np.isfinite(high) else None,
        bounds.upper(failed, len(outcomes)),
    )  # fmt: skip


def simulate(names: Sequence[str], runs: int, seed: int, *, with_peers: bool, jobs: int = 1) -> Iterator[list[Row]]:
    """Yield the rows of one scenario after another.

    Args:
        names: scenarios, all when empty.
        runs: of each; the costly long ones (over 200 looks) take a fifth.
        seed: of the whole table.
        with_peers: also run the other methods.
        jobs: processes.

    Raises:
        KeyError: an unknown scenario.
    """
    known = {scenario.name: scenario for scenario in SCENARIOS}
    chosen = [known[name] for name in names] or list(SCENARIOS)
    if jobs == 1:
        for scenario in chosen:
            yield _rows(scenario, _judge_shard(scenario, seed, with_peers, _numbers(scenario, runs)))
        return
    with ExitStack() as stack:
        # One process a shard of the runs, each time the same, so that it has their pasts already.
        pools = [stack.enter_context(ProcessPoolExecutor(1)) for _ in range(jobs)]
        for scenario in chosen:
            numbers = _numbers(scenario, runs)
            shards = [numbers[at::jobs] for at in range(jobs)]
            tasks = [
                pool.submit(_judge_shard, scenario, seed, with_peers, shard)
                for pool, shard in zip(pools, shards, strict=True)
            ]
            done = {
                n: found
                for shard, task in zip(shards, tasks, strict=True)
                for n, found in zip(shard, task.result(), strict=True)
            }
            yield _rows(scenario, [done[number] for number in numbers])


def _numbers(scenario: Scenario, runs: int) -> range:
    return range(max(runs // 5, 1) if scenario.windows > 200 else runs)


def _rows(scenario: Scenario, found: Sequence[dict[str, Outcome]]) -> list[Row]:
    return [_row(scenario, method, [result[method] for result in found]) for method in found[0]]
