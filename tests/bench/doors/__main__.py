"""`python -m tests.bench.doors [--count N] [--seed N] [DOOR ...]`: the full attack, with its counts."""

import argparse
import asyncio

from tests.bench.doors.attack import Outcome, besiege
from tests.bench.doors.hostile import DOORS


def main() -> int:
    """Attack each door in turn and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("doors", nargs="*", default=list(DOORS))
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--slow", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    findings = 0
    for door in given.doors:
        outcome = asyncio.run(besiege(door, given.count, given.seed, given.slow))
        show(outcome, given.seed)
        findings += len(outcome.findings)
    return 1 if findings else 0


def show(outcome: Outcome, seed: int) -> None:
    """Print an outcome."""
    statuses = ", ".join(f"{status}: {count}" for status, count in sorted(outcome.statuses.items()))
    print(f"{outcome.door}: {outcome.count} inputs from seed {seed}; peak memory {outcome.peak >> 20} MiB")
    print(f"  answers: {statuses}")
    for name, figures in (("beside", outcome.neighbour), ("without an attack", outcome.quiet)):
        answers, wrong, median, p99, most = figures
        print(f"  client {name}: {answers:g} answers, {wrong:g} wrong, median {median} ms, p99 {p99} ms, max {most} ms")
    for finding in outcome.findings[:60]:
        print(f"  FINDING {finding}")
    print(f"  {len(outcome.findings)} findings", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
