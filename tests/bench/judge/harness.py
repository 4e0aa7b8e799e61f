"""Runs scenarios and adds up what each method did; a run is drawn from (seed, number), so any row can be repeated."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np

from services.gate_evaluation.judge import History
from tests.bench.judge import bounds, ours, peers, promise
from tests.bench.judge.draw import before, draw, draw_past
from tests.bench.judge.hard_rows import HARD
from tests.bench.judge.held_out import HELD_OUT
from tests.bench.judge.promise import Shown
from tests.bench.judge.scenarios import SCENARIOS
from tests.bench.judge.tails import Floats
from tests.bench.judge.world import Expect, Outcome, Scenario, World

FALSE_ROLLBACK = 0.01
FALSE_PASS = 0.05
OURS = "penstock"
CHECKED = (*SCENARIOS, *HARD)
EVERY = (*CHECKED, *HELD_OUT)
_MOST_PASTS = 3000


@dataclass(frozen=True, slots=True)
class Row:
    """One scenario under one method.

    Attributes:
        runs, failed, passed: how many; early: rolled back before the change began.
        median, p95: windows from the change to the rollback over all runs (None: not found in that many).
        upper: 95 % upper bound of the share rolled back.
        slowest: windows of the slowest run (None: some run did not find it).
        rows: rows of the table that promise something, over which the level is divided.
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
    slowest: float | None = None
    rows: int = 1

    @property
    def promise(self) -> tuple[int, float] | None:
        """How often the promise of the row was broken, and how often it may be; None where nothing is promised."""
        if self.scenario.expect in (Expect.NO_CHANGE, Expect.EDGE):
            return self.failed, FALSE_ROLLBACK
        return (self.passed, FALSE_PASS) if self.scenario.expect is Expect.BEYOND else None

    @property
    def shown(self) -> Shown | None:
        """What the runs show of the promise."""
        return None if self.promise is None else promise.shown(self.promise[0], self.runs, self.promise[1], self.rows)

    @property
    def rolled_back(self) -> float:
        """Share of runs rolled back."""
        return self.failed / self.runs

    def misses(self) -> list[str]:
        """Return the bounds that our judge misses in this row."""
        scenario, found = self.scenario, []
        if self.promise is not None and not scenario.approximate:
            (seen, most), word = self.promise, "passed" if scenario.expect is Expect.BEYOND else "rolled back"
            if self.shown is Shown.BROKEN or (self.runs >= 1000 and seen > most * self.runs):
                found.append(f"{word} {seen / self.runs:.1%}, at most {most:.0%}")
        if scenario.expect is Expect.REGRESSION and (self.failed - self.early) / self.runs < scenario.found:
            found.append(f"found {(self.failed - self.early) / self.runs:.1%}, at least {scenario.found:.0%}")
        if scenario.median is not None and (self.median is None or self.median > scenario.median):
            found.append(f"median {self.median} windows, at most {scenario.median:g}")
        if scenario.most is not None and (self.slowest is None or self.slowest > scenario.most):
            found.append(f"slowest {self.slowest} windows, at most {scenario.most}")
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
    if key in _pasts:
        return _pasts[key]
    past = draw_past(world, seed, number)
    usual = peers.usual(past) if world.history else np.zeros(0)
    found = _Before(ours.learn(past).to_doc(), usual, past.state)
    if len(_pasts) < _MOST_PASTS:
        _pasts[key] = found
    return found


def _judge_all(scenario: Scenario, seed: int, with_peers: bool, number: int) -> dict[str, Outcome]:
    past = _past(scenario.world, seed, number)
    run = draw(scenario, past.state)
    found = {OURS: ours.judge_run(scenario, run, History.from_doc(ours.GATES, past.taught))}
    if with_peers and scenario in SCENARIOS:
        found["thresholds"] = peers.thresholds(scenario, run, past.usual)
        found["relative thresholds"] = peers.relative(scenario, run)
        found["Mann-Whitney each look"], found["Mann-Whitney at the end"] = peers.mann_whitney(scenario, run)
    return found


def _judge_shard(scenario: Scenario, seed: int, with_peers: bool, numbers: range) -> list[dict[str, Outcome]]:
    return [_judge_all(scenario, seed, with_peers, number) for number in numbers]


def _row(scenario: Scenario, method: str, outcomes: Sequence[Outcome], rows: int) -> Row:
    onset = scenario.change.onset
    after = [o.failed_at - onset + 1 for o in outcomes if o.failed_at is not None and o.failed_at >= onset]
    early = sum(o.failed_at is not None and o.failed_at < onset for o in outcomes)
    delays = np.array(sorted(after) + [np.inf] * (len(outcomes) - len(after)))
    middle, high = (float(np.quantile(delays, q, method="inverted_cdf")) for q in (0.5, 0.95))
    failed = len(after) + early
    return Row(
        scenario, method, len(outcomes), failed, early, sum(o.passed for o in outcomes),
        middle if np.isfinite(middle) else None, high if np.isfinite(high) else None,
        bounds.upper(failed, len(outcomes)), float(delays[-1]) if np.isfinite(delays[-1]) else None, rows,
    )  # fmt: skip


class _Pool:
    """Runs scenarios in processes, or in this one."""

    def __init__(self, stack: ExitStack, jobs: int) -> None:
        # One process for each share of the runs, each time the same, so that it has their pasts already.
        self._pools = [stack.enter_context(ProcessPoolExecutor(1)) for _ in range(jobs)] if jobs > 1 else []

    def run(self, scenario: Scenario, seed: int, with_peers: bool, numbers: range) -> list[dict[str, Outcome]]:
        if not self._pools:
            return _judge_shard(scenario, seed, with_peers, numbers)
        shards = [numbers[at :: len(self._pools)] for at in range(len(self._pools))]
        tasks = [
            pool.submit(_judge_shard, scenario, seed, with_peers, shard)
            for pool, shard in zip(self._pools, shards, strict=True)
        ]
        done = {
            n: found
            for shard, task in zip(shards, tasks, strict=True)
            for n, found in zip(shard, task.result(), strict=True)
        }
        return [done[number] for number in numbers]


def chosen_from(names: Sequence[str], *, held_out: bool = False) -> list[Scenario]:
    """Return the scenarios of a table: those named, else the held-out worlds, else all that `--check` checks.

    Raises:
        KeyError: an unknown scenario.
    """
    known = {scenario.name: scenario for scenario in EVERY}
    return [known[name] for name in names] or list(HELD_OUT if held_out else CHECKED)


def simulate(
    names: Sequence[str],
    runs: int,
    seed: int,
    *,
    with_peers: bool,
    jobs: int = 1,
    at_most: int | None = None,
    held_out: bool = False,
) -> Iterator[list[Row]]:
    """Yield the rows of one scenario after another.

    Args:
        names: scenarios, all when empty.
        runs: of each; the costly long ones (over 200 looks) take a fifth.
        seed: of the whole table.
        with_peers: also run the other methods.
        jobs: processes.
        at_most: rows that promise something take more runs, up to these, until they show whether it is kept.
        held_out: the worlds that nothing was tuned on, instead of the checked table.

    Raises:
        KeyError: an unknown scenario.
    """
    chosen = chosen_from(names, held_out=held_out)
    promising = sum(each.expect is not Expect.REGRESSION and not each.approximate for each in chosen)
    with ExitStack() as stack:
        pool = _Pool(stack, jobs)
        for scenario in chosen:
            yield _until_shown(pool, scenario, seed, with_peers, runs, at_most or runs, max(promising, 1))


def _until_shown(
    pool: _Pool, scenario: Scenario, seed: int, with_peers: bool, runs: int, at_most: int, rows: int
) -> list[Row]:
    fifth = 5 if scenario.windows > 200 else 1
    step, most = max(runs // fifth, 1), at_most // fifth
    found: list[dict[str, Outcome]] = []
    while True:
        found += pool.run(scenario, seed, with_peers, range(len(found), len(found) + step))
        table = [_row(scenario, method, [result[method] for result in found], rows) for method in found[0]]
        if table[0].shown is not Shown.OPEN or len(found) + step > most:
            return table
