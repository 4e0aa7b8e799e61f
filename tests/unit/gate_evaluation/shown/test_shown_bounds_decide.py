"""What is shown decides: over random runs of every kind of gate, no bound contradicts the word that it explains."""

import math
from collections.abc import Iterator

import numpy as np
import pytest

from services.gate_evaluation.judge import (
    Authority,
    Cohort,
    Count,
    Direction,
    GateKind,
    GateSpec,
    GateVerdict,
    Gauge,
    History,
    Judge,
    JudgeSpec,
    Margin,
    Ratio,
    Sensitivity,
    Window,
    Word,
)
from services.gate_evaluation.judge.decision.deciding_bounds import crossing_through
from services.gate_evaluation.judge.verdict import Deciding, Outlook
from tests.support.judge.judging import histogram

DOWN, BOTH = Direction.DOWN, Direction.BOTH
GATES = (
    GateSpec("errors", "errors", GateKind.RATIO),
    GateSpec("rare", "rare", GateKind.RATIO, tolerance=Margin(0.1, 0.001), pass_margin=Margin(0.5, 0.005)),
    GateSpec("bought", "bought", GateKind.RATIO, bad=DOWN, tolerance=Margin(0.05), pass_margin=Margin(0.2)),
    GateSpec("p50", "latency", GateKind.QUANTILE, q=0.5),
    GateSpec("p99", "latency", GateKind.QUANTILE, q=0.99),
    GateSpec("mean", "latency", GateKind.MEAN),
    GateSpec("orders", "orders", GateKind.COUNT, bad=BOTH),
    GateSpec("memory", "memory", GateKind.GAUGE),
    GateSpec("cpu", "memory", GateKind.GAUGE, bad=BOTH, authority=Authority.HOLD),
    GateSpec("slo", "errors", GateKind.SLO, slo_max=0.02),
    GateSpec("fast", "latency", GateKind.SLO, q=0.95, slo_max=150.0),
    GateSpec("burn", "errors", GateKind.BURN_RATE, objective=0.999, authority=Authority.HOLD),
)
WINDOWS = 40


def cohort(rng: np.random.Generator, n: int, factor: float) -> Cohort:
    instances = 50.0 * factor**0.2 * (1.0 + 0.02 * rng.normal(size=4))
    return Cohort(
        {
            "errors": Ratio(float(rng.binomial(n, min(0.012 * factor, 1.0))), float(n)),
            "rare": Ratio(float(rng.binomial(n, min(2e-5 * factor**3, 1.0))), float(n)),
            "bought": Ratio(float(rng.binomial(n, min(0.1 / factor, 1.0))), float(n)),
            "orders": Count(float(rng.poisson(n * 0.2 * factor)), float(n)),
            "latency": histogram(rng.lognormal(4.0, 0.4, size=n) * factor**0.4),
            "memory": Gauge(4.0, float(instances.sum()), float((instances**2).sum())),
        },
        requests=float(n),
    )  # fmt: skip


def runs(seed: int, sensitivity: Sensitivity = Sensitivity.TOLERANCE) -> Iterator[tuple[int, GateVerdict]]:
    """Yield every gate verdict of one rollout whose canary does something at random, with the windows judged."""
    rng = np.random.default_rng(seed)
    past = History(GATES)
    for _ in range(int(rng.choice([0, 5, 40]))):
        past.update(Window(a=cohort(rng, 1500, 1.0), b=cohort(rng, 1500, 1.0)))
    spec = JudgeSpec(GATES, min_bake=20, max_bake=WINDOWS, splits=(0.2,), sensitivity=sensitivity)
    judge = Judge.start(spec, past)
    first, second = rng.choice([0.7, 1.0, 1.0, 1.05, 1.3, 2.0, 6.0], size=2)
    turn = int(rng.integers(1, WINDOWS))
    for t in range(WINDOWS):
        canary = cohort(rng, 600, float(first if t < turn else second))
        if rng.random() < 0.05:
            canary = Cohort({}, requests=0.0)
        verdict = judge.observe(Window(canary=canary, baseline=cohort(rng, 2400, 1.0), epoch=60.0 * t), None)
        for gate in verdict.gates:
            yield verdict.stage_judged, gate


def beyond(found: Deciding) -> bool:
    """Whether the bound lies on the breach's side of its line."""
    assert found.bound is not None
    return found.bound <= found.line if found.down else found.bound >= found.line


def contradicts(judged: int, gate: GateVerdict) -> str:
    """Return in which way the bounds of a verdict contradict its word; empty: in none."""
    fails, passes = gate.fails, gate.passes
    over = fails is not None and fails.bound is not None and beyond(fails)
    short = passes is not None and passes.bound is not None and (not beyond(passes) or passes.bound == passes.line)
    if (gate.word is Word.BREACH) is not over:
        return "a breach needs its bound beyond its line, and no other word may have that"
    if gate.word is Word.PASSED and gate.kind != "burn_rate" and not short:
        return "passed with a bound beyond the pass margin"
    if gate.word is Word.INCONCLUSIVE and judged >= 20 and short:
        return "short of the pass margin at the end of the bake, and not passed"
    if fails is None or passes is None or fails.bound is None or passes.bound is None or fails.down is not passes.down:
        return ""
    crossed = fails.bound < passes.bound if fails.down else fails.bound > passes.bound
    return "at least more than at most" if crossed else ""


@pytest.mark.parametrize("seed", range(24))
def test_no_shown_bound_contradicts_its_word(seed: int) -> None:
    sensitivity = Sensitivity.ESTIMATE if seed % 6 == 5 else Sensitivity.TOLERANCE
    for judged, gate in runs(seed, sensitivity):
        assert not contradicts(judged, gate), gate


def test_random_runs_reach_every_word_of_every_kind() -> None:
    seen = {(gate.kind, gate.word) for seed in range(24) for _, gate in runs(seed)}
    kinds = {str(gate.kind) for gate in GATES}
    assert {kind for kind, word in seen if word is Word.PASSED} == kinds
    assert {kind for kind, word in seen if word is Word.BREACH} == kinds
    assert {kind for kind, word in seen if word is Word.NO_DATA} == kinds


def test_a_bound_of_another_level_is_noticed() -> None:
    """The old band, at the level of the whole budget, contradicts words: the check of this file can fail."""
    found = 0
    for seed in range(12):
        for judged, gate in runs(seed):
            if gate.fails is not None and gate.passes is not None and not gate.fails.down and gate.low is not None:
                other = Deciding(gate.fails.line, gate.low, False, 0.01)
                changed = type(gate)(**{**{f: getattr(gate, f) for f in gate.__struct_fields__}, "fails": other})
                found += bool(contradicts(judged, changed))
    assert found > 10


@pytest.mark.parametrize("seed", range(6))
def test_predictions_end_within_the_bake_and_change_seldom(seed: int) -> None:
    changes: dict[str, list[int]] = {}
    last: dict[str, tuple[Outlook, int]] = {}
    for judged, gate in runs(seed):
        if gate.outlook is None or gate.windows_needed is None:
            last.pop(gate.name, None)
            continue
        assert gate.word is Word.INCONCLUSIVE
        due = judged + gate.windows_needed
        assert judged < due <= WINDOWS
        now = (gate.outlook, due)
        if gate.name in last and last[gate.name] != now:
            changes.setdefault(gate.name, []).append(judged)
        last[gate.name] = now
    for name, times in changes.items():
        # A prediction is kept for ten windows, or until the window that it named.
        assert len(times) <= 2 + WINDOWS // 5, (name, times)


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("anchor", [0.0, 4.9, 5.1, 30.0])
def test_the_curve_crosses_where_the_anchor_decides(sign: float, anchor: float) -> None:
    rng = np.random.default_rng(3)
    nulls = [sign * value for value in np.linspace(-1.0, 1.0, 9).tolist()]
    for _ in range(200):
        logs = np.sort(rng.normal(5.0, 6.0, size=9))[::-1].tolist()
        at = sign * float(rng.uniform(-1.2, 1.2))
        found = crossing_through(nulls, logs, sign, at, anchor, 5.0)
        assert (found is not None and (found - at) * sign >= -1e-9) is (anchor >= 5.0)
        if found is not None:
            assert math.isfinite(found)
