"""Our judge over a simulated run: the very code that runs in production, without the displayed interval."""

from dataclasses import replace

from services.gate_evaluation.judge import GateKind, GateSpec, History, Judge, JudgeSpec, Margin, Word
from tests.bench.judge.draw import Past, Run
from tests.bench.judge.world import Outcome, Scenario

GATES = (
    GateSpec(
        "error_rate", "error_rate", GateKind.RATIO, tolerance=Margin(0.10, 0.0005), pass_margin=Margin(0.50, 0.0025)
    ),
    GateSpec("latency_p50", "latency_ms", GateKind.QUANTILE, q=0.5, tolerance=Margin(0.05), pass_margin=Margin(0.10)),
    GateSpec("latency_p99", "latency_ms", GateKind.QUANTILE, q=0.99, tolerance=Margin(0.05), pass_margin=Margin(0.20)),
    GateSpec("memory", "memory", GateKind.GAUGE, tolerance=Margin(0.05), pass_margin=Margin(0.10)),
)


def gates_of(scenario: Scenario) -> tuple[GateSpec, ...]:
    """Return the gates of a scenario: the usual four, the error gate with the scenario's own margins if it has any."""
    if scenario.tolerance is None:
        return GATES
    relative, absolute = scenario.tolerance
    margins = Margin(relative, absolute), Margin(5.0 * relative, 5.0 * absolute)
    return (replace(GATES[0], tolerance=margins[0], pass_margin=margins[1]), *GATES[1:])


def learn(past: Past) -> History:
    """Return what the windows before a rollout teach."""
    history = History(GATES)
    for window in past.windows():
        history.update(window)
    return history


def judge_run(scenario: Scenario, run: Run, history: History) -> Outcome:
    """Return when our judge rolled back or passed; it stops at the first final verdict."""
    warmup = scenario.world.warmup
    spec = JudgeSpec(
        gates_of(scenario),
        min_bake=120,
        max_bake=120,
        warmup_windows=warmup,
        splits=(scenario.world.split,),
        window_seconds=60.0,
    )
    judge = Judge.start(spec, history, report=False)
    for t in range(scenario.windows + warmup):
        verdict = judge.observe(run.window(t), scenario.world.split)
        if verdict.word is Word.BREACH:
            return Outcome(failed_at=t, passed=False)
        if verdict.word is Word.PASSED and scenario.windows <= 120:
            return Outcome(failed_at=None, passed=True)
    return Outcome(failed_at=None, passed=False)
