"""What a person reads of a gate does not contradict itself: difference, band, what is seen lately, and the words."""

import numpy as np
import pytest

from penstock.wording.verdicts import explain_gate
from services.gate_evaluation.judge import GateKind, GateSpec, GateVerdict, History, Judge, JudgeSpec, Window
from services.gate_evaluation.judge.series.cohort_tails import CohortTails
from services.gate_evaluation.judge.series.histograms import Frame
from tests.support.judge.judging import FOUR, calm, histogram, history

MEAN = GateSpec("mean", "latency", GateKind.MEAN)
GATES = (*FOUR, MEAN)
CHANGES = {
    "none": lambda t: 1.0,
    "half-way": lambda t: 1.0 if t < 30 else 2.5,
    "and back": lambda t: 2.0 if t < 30 else 1.0,
    "growing": lambda t: 1.0 + t / 30.0,
}


def verdicts(change: str, windows: int = 60, gates: tuple[GateSpec, ...] = GATES) -> list[list[GateVerdict]]:
    rng = np.random.default_rng(7)
    judge = Judge.start(JudgeSpec(gates, min_bake=windows, max_bake=windows, splits=(0.25,)), history(gates))
    found = []
    for t in range(windows):
        factor = CHANGES[change](t)
        canary = calm(rng, 400, rate=0.02 * factor, slower=factor**0.3, memory=50.0 * factor**0.2)
        window = Window(canary=canary, baseline=calm(rng, 1200, rate=0.02))
        found.append(list(judge.observe(window, 0.25).gates))
    return found


@pytest.mark.parametrize("change", sorted(CHANGES))
def test_the_band_holds_the_difference_whatever_the_canary_does(change: str) -> None:
    outside = 0
    for gates in verdicts(change):
        for gate in gates:
            assert gate.estimate is not None
            assert gate.low is None or gate.low <= gate.estimate, gate
            assert gate.high is None or gate.high >= gate.estimate, gate
            assert gate.canary is not None
            assert gate.baseline is not None
            assert gate.estimate == pytest.approx(gate.canary / gate.baseline - 1.0)
            assert gate.recent is not None
            outside += gate.low is not None and gate.high is not None and not gate.low <= gate.recent <= gate.high
    assert (outside > 0) is (change != "none") or outside < 6


def told(gate: GateVerdict, **more: object) -> str:
    event = {
        "gate": gate.name, "kind": gate.kind, "word": gate.word, "final": gate.final, "estimate": gate.estimate,
        "low": gate.low, "high": gate.high, "absolute": gate.estimate_absolute, "baseline": {"value": gate.baseline},
        "absolute_low": gate.low * gate.baseline, "absolute_high": gate.high * gate.baseline,  # type: ignore[operator]
        "tolerance_effective": gate.tolerance_effective, "detail": {"recent": gate.recent}, **more,
    }  # fmt: skip
    return explain_gate(event)


def test_what_is_seen_lately_is_told_by_name_where_it_lies_outside_the_band() -> None:
    said = 0
    for gate in (gate for gates in verdicts("growing") for gate in gates):
        if gate.low is not None and gate.high is not None and gate.recent is not None:
            outside = not gate.low <= gate.recent <= gate.high
            for unit in ("", "ms"):
                lately = ", lately +" in told(gate, unit=unit)
                assert outside or not lately
                said += lately
    assert said > 20


def test_what_reads_alike_is_not_said_twice() -> None:
    gate = {
        "gate": "p99", "kind": "quantile", "word": "inconclusive", "windows_needed": 3, "unit": "ms", "absolute": 149.2,
        "absolute_low": 149.2, "absolute_high": None, "low": 0.5, "baseline": {"value": 298.4},
        "tolerance_effective": 0.04,
    }  # fmt: skip
    assert "lately" not in explain_gate({**gate, "detail": {"recent": 0.4999}})
    assert " (at least +149 ms), lately +134 ms, against a limit of " in explain_gate(
        {**gate, "detail": {"recent": 0.45}}
    )


def test_a_whole_rollout_is_the_same_estimate_whatever_its_stages_shares() -> None:
    """Latency of all doubles with the hour while the share grows: that is no difference between the cohorts."""
    rng = np.random.default_rng(3)
    judge = Judge.start(JudgeSpec(GATES, min_bake=90, max_bake=90, splits=(0.05, 0.5)), history(GATES))
    for t in range(40):
        hour, (n_c, n_b) = (1.0, (100, 1900)) if t < 20 else (2.0, (1000, 1000))
        canary, baseline = (calm(rng, n, rate=0.02 * hour, slower=hour) for n in (n_c, n_b))
        gates = judge.observe(Window(canary=canary, baseline=baseline), None).gates
    for gate in gates:
        if gate.name != "memory":
            assert gate.estimate == pytest.approx(0.0, abs=0.12), gate.name


def test_a_rollout_begins_without_the_estimate_of_the_one_before() -> None:
    bad = Judge.start(JudgeSpec(GATES, min_bake=60, max_bake=60), history(GATES))
    rng = np.random.default_rng(5)
    for _ in range(20):
        canary = calm(rng, 400, rate=0.05, slower=2.0, memory=80.0)
        bad.observe(Window(canary=canary, baseline=calm(rng, 1200)), None)
    judge = Judge.start(JudgeSpec(GATES, min_bake=60, max_bake=60), History.from_doc(GATES, bad.to_doc()["history"]))
    for gate in judge.observe(Window(canary=calm(rng, 4000), baseline=calm(rng, 12_000)), None).gates:
        assert gate.recent == pytest.approx(gate.estimate, abs=1e-9), gate.name
        assert abs(gate.estimate or 0.0) < (0.6 if gate.name == "errors" else 0.1), gate.name


def test_tails_so_far_follow_the_cells_when_they_move() -> None:
    rng = np.random.default_rng(1)
    frame, at_once = Frame(), Frame()
    rollout_tails = CohortTails(frame)
    drawn = [
        histogram(rng.lognormal(4.0, 0.3, size=500), 5),
        histogram(rng.lognormal(4.0, 2.0, size=500), 5),  # wider than the cells so far
        histogram(rng.lognormal(4.0, 0.3, size=500), 3),  # coarser
        histogram(rng.lognormal(7.0, 0.3, size=500), 4),
    ]
    for each in drawn:
        cells = frame.place(each)
        rollout_tails.add(np.stack([frame.tails(cells)] * 2))
    for each in drawn:
        at_once.place(each)
    summed = sum(at_once.place(each) for each in drawn)
    for q in (0.1, 0.5, 0.9, 0.99):
        whole = rollout_tails.quantiles(q)[1]
        assert whole is not None
        assert whole[0] == pytest.approx(at_once.quantile(at_once.tails(summed), q))
