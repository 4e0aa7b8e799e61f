"""The published scenarios: what the world does without a harmful change, and the regressions a judge should find."""

from tests.bench.judge.tails import Shape, Slow
from tests.bench.judge.world import Change, Expect, Scenario, World

_AR = World(wander=(0.12, 0.8), memory_wander=(0.02, 0.8))
_BURSTY = World(burst=(0.03, 3.0, 1.5))
_TAIL_33, _TAIL_4, _HEAVY = World(slow=Slow(spread=0.43)), World(slow=Slow(spread=0.58)), World(slow=Slow(spread=1.05))
"""Tails for which the limit of any sequential test (`Scenario.limit`) is 33, 4 and 14 windows."""
_GAMMA = World(slow=Slow(Shape.GAMMA, share=0.05, at=150.0, spread=2))
_PARETO = World(slow=Slow(Shape.PARETO, share=0.05, at=110.0, spread=2.5))
_MISSES = World(slow=Slow(share=0.05, at=200.0, spread=0.5))
_RARE_MISSES = World(slow=Slow(share=0.02, at=220.0, spread=0.4))
"""Other shapes: exponential tails, power laws, caches that miss in 5 % and in 2 % of requests."""
_HALF_NOISY = World(split=0.5, wander=(0.05, 0.8))
_HALF_SLOW_NOISE = World(split=0.5, wander=(0.03, 0.95))
"""Noise of one cohort too weak for two hours of history to show, but lasting, where the canary is large."""
_BOTH = Change(errors_times=1.10, all_times=1.0443)
_SLOWER = Change(slow_times=1.25)
_QUIET = World(rps=1.0)
_CLEAN = World(errors=0.0)
_DAY = World(diurnal=0.5)

SCENARIOS: tuple[Scenario, ...] = (
    Scenario("independent", Expect.NO_CHANGE),
    Scenario("autocorrelated", Expect.NO_CHANGE, _AR),
    Scenario("bursty errors", Expect.NO_CHANGE, _BURSTY),
    Scenario("diurnal", Expect.NO_CHANGE, _DAY),
    Scenario("heavy tail", Expect.NO_CHANGE, _HEAVY),
    Scenario("low traffic (1 req/s)", Expect.NO_CHANGE, _QUIET),
    Scenario("canary 1 %", Expect.NO_CHANGE, World(split=0.01)),
    Scenario("canary 50 %", Expect.NO_CHANGE, World(split=0.5)),
    Scenario("no errors at all", Expect.NO_CHANGE, _CLEAN),
    Scenario("shared outage", Expect.NO_CHANGE, World(outage=(40, 55, 0.2))),
    Scenario("shared outage, rare errors", Expect.NO_CHANGE, World(errors=1e-5, outage=(40, 55, 0.05))),
    Scenario("cold canary, warm-up", Expect.NO_CHANGE, World(warmup=5)),
    Scenario("within tolerance", Expect.NO_CHANGE, change=Change(errors_times=1.05, slow_times=1.02)),
    Scenario("errors at tolerance", Expect.EDGE, change=Change(errors_times=1.10)),
    Scenario("latency at tolerance", Expect.EDGE, change=Change(all_times=1.0443)),
    Scenario("errors at tolerance, bursty", Expect.EDGE, _BURSTY, Change(errors_times=1.10)),
    Scenario("errors at tolerance, autocorrelated", Expect.EDGE, _AR, Change(errors_times=1.10)),
    Scenario("latency at tolerance, autocorrelated", Expect.EDGE, _AR, Change(all_times=1.0443)),
    Scenario("latency at tolerance, Pareto tail", Expect.EDGE, _PARETO, Change(all_times=1.0443)),
    Scenario("both at tolerance, canary 50 %, noise", Expect.EDGE, _HALF_NOISY, _BOTH),
    Scenario("both at tolerance, canary 50 %, slow noise", Expect.EDGE, _HALF_SLOW_NOISE, _BOTH),
    Scenario("errors x1.5", Expect.REGRESSION, change=Change(errors_times=1.5), median=36),
    Scenario("errors x2", Expect.REGRESSION, change=Change(errors_times=2), median=8),
    Scenario("errors +1 pp", Expect.REGRESSION, change=Change(errors_plus=0.01), median=4),
    Scenario("crash (80 % errors)", Expect.REGRESSION, change=Change(errors_plus=0.8), median=2),
    Scenario("p99 +10 %", Expect.REGRESSION, _TAIL_33, change=Change(slow_times=1.10), median=45),
    Scenario("p99 +25 %", Expect.REGRESSION, _TAIL_4, change=Change(slow_times=1.25), median=6),
    Scenario("p99 +100 %", Expect.REGRESSION, _TAIL_4, change=Change(slow_times=2), median=2),
    Scenario("all latencies +10 %", Expect.REGRESSION, change=Change(all_times=1.10)),
    Scenario("slow leak of errors", Expect.REGRESSION, change=Change(creep=0.04), median=29),
    Scenario("memory leak", Expect.REGRESSION, change=Change(leak=0.0015), median=72),
    Scenario("burst of 6 windows", Expect.REGRESSION, change=Change(errors_plus=0.03, onset=30, length=6), median=3),
    Scenario("errors x2, onset 60", Expect.REGRESSION, change=Change(errors_times=2, onset=60), median=16, found=0.9),
    Scenario("p99 +25 %, heavy tail", Expect.REGRESSION, _HEAVY, Change(slow_times=1.25), median=20),
    Scenario("p99 +25 %, gamma tail", Expect.REGRESSION, _GAMMA, _SLOWER, median=12),
    Scenario("p99 +25 %, Pareto tail", Expect.REGRESSION, _PARETO, _SLOWER, median=12),
    Scenario("p99 +25 %, cache misses", Expect.REGRESSION, _MISSES, _SLOWER, median=8),
    Scenario("p99 +25 %, rare misses", Expect.REGRESSION, _RARE_MISSES, _SLOWER, median=12),
    Scenario("errors x2, diurnal", Expect.REGRESSION, _DAY, Change(errors_times=2)),
    Scenario("errors x2, bursty", Expect.REGRESSION, _BURSTY, Change(errors_times=2), median=26),
    Scenario("errors x2, canary 1 %", Expect.REGRESSION, World(split=0.01), Change(errors_times=2), 38),
    Scenario("errors x5, low traffic", Expect.REGRESSION, World(rps=5.0), Change(errors_times=5), found=0.5),
    Scenario("no errors, then 1 pp", Expect.REGRESSION, _CLEAN, Change(errors_plus=0.01), median=3),
    Scenario(
        "errors x2, onset 120", Expect.REGRESSION, change=Change(errors_times=2, onset=120), median=25, windows=240
    ),
    Scenario(
        "errors x2, onset 480", Expect.REGRESSION, change=Change(errors_times=2, onset=480), median=25, windows=600
    ),
    Scenario("errors x1.6 (pass margin)", Expect.BEYOND, change=Change(errors_times=1.6)),
    Scenario("all latencies +25 % (pass margin)", Expect.BEYOND, change=Change(all_times=1.25)),
    Scenario("memory +12 % (pass margin)", Expect.BEYOND, change=Change(leak=0.12, length=1)),
)
