"""Pytest hooks that say, part by part, what ran and what was skipped for want of what; a skip may be made a failure."""

import os
from collections import Counter, defaultdict
from pathlib import PurePosixPath

import pytest

_counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
_seconds: defaultdict[str, float] = defaultdict(float)
_reasons: defaultdict[str, Counter[str]] = defaultdict(Counter)


def part_of(nodeid: str) -> str:
    """Return the folder below `tests` that a test stands in."""
    parts = PurePosixPath(nodeid.partition("::")[0]).parts
    return parts[1] if len(parts) > 2 and parts[0] == "tests" else "other"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that makes a skip a failure; CI=true does the same."""
    parser.addoption("--fail-on-skip", action="store_true", default=False, help="a skipped test fails the run")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count by part."""
    part = part_of(report.nodeid)
    _seconds[part] += report.duration
    if report.skipped and not hasattr(report, "wasxfail"):
        _skipped(part, report.longrepr)
    elif report.failed:
        _counts[part]["failed"] += 1
    elif report.when == "call":
        _counts[part]["passed"] += 1


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Count a module that skips as a whole: its tests never come to a report of their own."""
    if report.skipped:
        _skipped(part_of(report.nodeid), report.longrepr)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail the run for a skip where that was asked for."""
    if exitstatus == pytest.ExitCode.OK and _reasons and _strict(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print one line a part."""
    if not _counts:
        return
    terminalreporter.section("parts")
    for part, counts in _counts.items():
        outcome = ", ".join(f"{counts[word]} {word}" for word in ("passed", "failed", "skipped") if counts[word])
        terminalreporter.line(f"{part:<10} {outcome} in {_seconds[part]:.1f} s")
        for reason, count in _reasons[part].items():
            terminalreporter.line(f"{'':<10} {count} skipped: {reason}")
    if _reasons and _strict(config):
        terminalreporter.line("A skipped test fails this run (--fail-on-skip, or CI=true).", red=True)


def _skipped(part: str, why: object) -> None:
    _counts[part]["skipped"] += 1
    reason = why[2] if isinstance(why, tuple) else str(why)
    _reasons[part][reason.removeprefix("Skipped: ")] += 1


def _strict(config: pytest.Config) -> bool:
    return bool(config.getoption("--fail-on-skip")) or os.environ.get("CI", "").lower() in ("1", "true")
