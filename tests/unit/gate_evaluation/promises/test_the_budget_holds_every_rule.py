"""Every rule that can roll back or hold is in the budget: listed, and run on bases where one outside it would show."""

import math

import numpy as np
import pytest

from services.gate_evaluation.judge import (
    Authority,
    Cohort,
    Direction,
    GateKind,
    GateSpec,
    History,
    Judge,
    JudgeSpec,
    Margin,
    Ratio,
    Reason,
    Window,
    Word,
    weights_of,
)
from services.gate_evaluation.judge.decision.rule import RULES
from services.gate_evaluation.judge.evidence import mixtures
from services.gate_evaluation.judge.evidence.e_processes import EProcesses, Form, Row
from services.gate_evaluation.judge.gates.layout import lay, place
from services.gate_evaluation.judge.versions import CURRENT

EVERY_KIND = (
    GateSpec("errors", "e", GateKind.RATIO),
    GateSpec("rare", "r", GateKind.RATIO, tolerance=Margin(0.1, 0.05), pass_margin=Margin(0.5, 0.05)),
    GateSpec("sales", "s", GateKind.RATIO, bad=Direction.DOWN),
    GateSpec("drift", "d", GateKind.RATIO, bad=Direction.BOTH),
    GateSpec("p50", "l", GateKind.QUANTILE, q=0.5),
    GateSpec("p99", "l", GateKind.QUANTILE, q=0.99),
    GateSpec("mean", "l", GateKind.MEAN),
    GateSpec("calls", "c", GateKind.COUNT, bad=Direction.BOTH),
    GateSpec("memory", "m", GateKind.GAUGE),
    GateSpec("goal", "e", GateKind.SLO, slo_max=0.01),
    GateSpec("held", "e", GateKind.RATIO, authority=Authority.HOLD),
    GateSpec("burn", "e", GateKind.BURN_RATE, objective=0.99, authority=Authority.HOLD),
    GateSpec("past", "e", GateKind.OWN_HISTORY, authority=Authority.ADVISE),
)


def test_the_rules_that_end_a_stage_and_what_each_spends() -> None:
    assert [(rule.name, rule.word, rule.spends, rule.each) for rule in RULES] == [
        ("no live canary", Word.BREACH, 0.0, False),
        ("weighted evidence", Word.BREACH, 1.0, False),
        ("hold gates", Word.INCONCLUSIVE, 1.0, True),
    ]
    assert sum(rule.spends for rule in RULES if rule.word is Word.BREACH) == 1.0


@pytest.mark.parametrize("interval", [False, True])
def test_every_row_that_carries_harm_is_in_the_sum(interval: bool) -> None:
    spec = JudgeSpec(EVERY_KIND)
    history, weights = History(EVERY_KIND), weights_of(spec)
    assert math.isclose(sum(weights[g.name] for g in EVERY_KIND if g.authority is Authority.ROLLBACK), 1.0)
    layout = lay(spec, history, weights, place(spec, history), interval=interval)
    for gate, found in zip(EVERY_KIND, layout.gates, strict=True):
        monitor = gate.kind in (GateKind.BURN_RATE, GateKind.OWN_HISTORY)
        assert math.isclose(sum(weight for _, weight in found.fail), 0.0 if monitor else 1.0), gate.name
        for row, _ in found.fail:
            assert math.isclose(sum(layout.processes.rows[row].weights), 1.0)
    gross = [row for row in layout.processes.rows if row.exact]
    assert len(gross) == sum(g.kind is GateKind.RATIO and g.bad is Direction.UP for g in EVERY_KIND)


@pytest.mark.parametrize("rate", [0.05, 0.2, 0.6, 0.99])
@pytest.mark.parametrize("n", [1, 20, 400])
def test_the_gross_row_gains_nothing_at_its_null(rate: float, n: int) -> None:
    effects = mixtures.GROSS_EFFECTS
    cap = mixtures.cap_of(len(effects), 0.01 * CURRENT.gross_share)
    row = Row(0, Form.BERNOULLI, effects, (1.0 / len(effects),) * len(effects), cap=cap, exact=True)
    mean = 0.0
    for hits in range(n + 1):
        processes = EProcesses([row], 1)
        processes.tau2[:] = 1.0  # noise divides nothing of this row
        processes.hits[0], processes.n[0], processes.q0[0] = hits, n, rate
        processes.step(0.0)
        chance = math.comb(n, hits) * rate**hits * (1 - rate) ** (n - hits)
        mean += chance * float(processes.evidence()[0])
    assert mean <= 1.0 + 1e-9


def _cohort(rng: np.random.Generator, n: int, rate: float) -> Cohort:
    return Cohort({"e": Ratio(float(rng.binomial(n, rate)), float(n))}, float(n))


@pytest.mark.parametrize("base", [0.1, 0.22, 0.24, 0.3, 0.5])
def test_high_base_rates_exactly_at_tolerance_are_not_rolled_back(base: float) -> None:
    gates = (GateSpec("errors", "e", GateKind.RATIO, tolerance=Margin(0.5), pass_margin=Margin(1.0)),)
    rolled = 0
    for seed in range(12):
        rng = np.random.default_rng([7, seed])
        judge = Judge.start(JudgeSpec(gates, min_bake=240, max_bake=240), report=False)
        for _ in range(240):
            canary, control = _cohort(rng, 20, 1.5 * base), _cohort(rng, 380, base)
            if judge.observe(Window(canary=canary, baseline=control), 0.05).word is Word.BREACH:
                rolled += 1
                break
    assert rolled <= 1


def test_only_a_dead_canary_needs_no_evidence() -> None:
    judge = Judge.start(JudgeSpec(EVERY_KIND[:1]), report=False)
    alive, gone = Cohort({"e": Ratio(0, 100)}, 100, live=1), Cohort({}, 0, live=0)
    control = Cohort({"e": Ratio(0, 1900)}, 1900)
    assert judge.observe(Window(canary=alive, baseline=control), None).word is not Word.BREACH
    verdict = judge.observe(Window(canary=gone, baseline=control), None)
    assert (verdict.word, verdict.reason) == (Word.BREACH, Reason.CATASTROPHE)
