"""The table as text (Markdown) and as JSON: rows are scenarios, figures say how many runs they rest on."""

from collections.abc import Sequence
from typing import Any

from tests.bench.judge.harness import OURS, Row
from tests.bench.judge.world import Expect

HEADER = (
    "| scenario | expected | runs | rolled back (95 % bound) | passed | promise "
    "| windows, median / 95th / slowest (limit) | peers |\n|---|---|---|---|---|---|---|---|"
)
_SHORT = {
    "thresholds": "thr",
    "relative thresholds": "rel",
    "Mann-Whitney each look": "MW",
    "Mann-Whitney at the end": "MW end",
}


def line(rows: Sequence[Row]) -> str:
    """Return one scenario's line, with the bounds it misses."""
    own = next(row for row in rows if row.method == OURS)
    scenario = own.scenario
    rolled = f"{own.rolled_back:.1%} (<= {own.upper:.1%})"
    times = (own.median, own.p95, own.slowest)
    delay = " / ".join(map(_windows, times)) if _delayed(own) else "-"
    shown = "-" if own.shown is None else f"{own.shown}{', approximate' if scenario.approximate else ''}"
    if scenario.expect is Expect.REGRESSION and scenario.limit is not None:
        delay += f" ({scenario.limit:.3g})"
    others = ", ".join(f"{_SHORT[row.method]} {row.rolled_back:.0%}{_median(row)}" for row in rows if row is not own)
    missed = "; ".join(own.misses())
    cells = (
        scenario.name, scenario.expect.value, str(own.runs), rolled, f"{own.passed / own.runs:.1%}", shown, delay,
        others,
    )  # fmt: skip
    return f"| {' | '.join(cells)} |" + (f"  MISSED: {missed}" if missed else "")


def _delayed(row: Row) -> bool:
    return row.scenario.expect in (Expect.REGRESSION, Expect.BEYOND)


def _windows(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _median(row: Row) -> str:
    return f" at {row.median:.0f}" if _delayed(row) and row.median is not None else ""


def document(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the rows as JSON-able values."""
    return [
        {
            "scenario": row.scenario.name,
            "expect": row.scenario.expect.value,
            "method": row.method,
            "runs": row.runs,
            "rolled_back": row.rolled_back,
            "upper95": row.upper,
            "early": row.early,
            "passed": row.passed / row.runs,
            "median": row.median,
            "p95": row.p95,
            "slowest": row.slowest,
            "promise": row.shown,
            "limit": row.scenario.limit if row.scenario.expect is Expect.REGRESSION else None,
            "missed": row.misses() if row.method == OURS else [],
        }
        for row in rows
    ]
