"""Further published rows: gross harm after any history, high base rates at tolerance, large canaries, false passes."""

from tests.bench.judge.world import Change, Expect, Scenario, World

_WIDE = (0.5, 0.0)
"""A tolerance of half the rate, as business ratios (bounces, cache misses, refused payments) have it."""
_GROSS = Change(errors_plus=0.39)
_AR = World(wander=(0.12, 0.8), memory_wander=(0.02, 0.8))


def _gross(history: int) -> Scenario:
    """Errors 1 % -> 40 %, 300 requests a window and cohort: every run must find it within five windows."""
    world = World(rps=10.0, split=0.5, errors=0.01, history=history)
    tolerance = (0.1, 0.02)
    return Scenario(
        f"errors 1 % -> 40 %, history {history}", Expect.REGRESSION, world, _GROSS, median=5, found=1.0, most=5,
        windows=40, tolerance=tolerance,
    )  # fmt: skip


def _base(rate: float, windows: int = 120, split: float = 0.05, rps: float = 400.0 / 60.0) -> Scenario:
    """A base rate, the canary exactly at a tolerance of +50 %, 20 of 400 requests a window."""
    name = f"base {rate:.0%} at tolerance{'' if windows == 120 else f', {windows} windows'}"
    change = Change(errors_times=1.5)
    return Scenario(
        name, Expect.EDGE, World(rps=rps, split=split, errors=rate), change, windows=windows, tolerance=_WIDE
    )


def _rate(rate: float, split: float = 0.05) -> Scenario:
    share = "" if split == 0.05 else f", canary {split:.1%}"
    name = f"errors {rate:.3%} at tolerance{share}"
    tolerance = (0.1, rate * 0.1)
    return Scenario(name, Expect.EDGE, World(errors=rate, split=split), Change(errors_times=1.1), tolerance=tolerance)


HARD: tuple[Scenario, ...] = (
    *(_base(rate) for rate in (0.2, 0.22, 0.24, 0.3, 0.4, 0.5)),
    _base(0.22, windows=480),
    *(_rate(rate) for rate in (1e-5, 1e-4, 0.05, 0.3)),
    *(_rate(0.005, split) for split in (0.001, 0.25, 0.5, 0.9)),
    *(_gross(history) for history in (0, 30, 120, 720)),
    Scenario("errors x1.6, autocorrelated", Expect.BEYOND, _AR, Change(errors_times=1.6)),
    Scenario("all latencies +25 %, autocorrelated", Expect.BEYOND, _AR, Change(all_times=1.25)),
    Scenario("memory +12 %, autocorrelated", Expect.BEYOND, _AR, Change(leak=0.12, length=1)),
    Scenario(
        "errors x1.6, canary 50 %, noise", Expect.BEYOND, World(split=0.5, wander=(0.05, 0.8)), Change(errors_times=1.6)
    ),
)  # fmt: skip
