"""Vectors that a fair judge gets right, at any scale, and that other tools get wrong."""

import pytest
from scipy import stats

from services.gate_evaluation.judge import (
    Cohort,
    Count,
    Direction,
    GateKind,
    GateSpec,
    Gauge,
    Judge,
    JudgeSpec,
    Measure,
    Window,
    Word,
)

LEVEL = GateSpec("level", "level", GateKind.GAUGE)
EVENTS = GateSpec("events", "events", GateKind.COUNT, bad=Direction.UP)


def word_of(gate: GateSpec, canary: list[Measure], baseline: list[Measure]) -> Word:
    bake = len(canary)
    judge = Judge.start(JudgeSpec((gate,), min_bake=bake, max_bake=bake, splits=(0.5,)))
    for one, two in zip(canary, baseline, strict=True):
        verdict = judge.observe(Window(canary=Cohort({gate.metric: one}), baseline=Cohort({gate.metric: two})), None)
        if verdict.word is Word.BREACH:
            return Word.BREACH
    assert verdict.final
    return verdict.word


def gauges(values: list[float]) -> list[Measure]:
    return [Gauge(1.0, value, value * value) for value in values]


def counts(values: list[float]) -> list[Measure]:
    return [Count(value, 60.0) for value in values]


def test_seven_hundreds_and_three_ones_are_not_a_pass() -> None:
    canary, control = [100.0] * 7 + [1.0] * 3, [1.0] * 10
    assert stats.mannwhitneyu(canary, control).pvalue < 0.01
    assert word_of(LEVEL, gauges(canary), gauges(control)) is not Word.PASSED


def test_an_event_at_each_fifth_point_against_none_is_not_a_pass() -> None:
    canary = [float((1, 1, 2, 1, 2)[i // 5]) if i % 5 == 0 else 0.0 for i in range(25)]
    assert sum(canary) == 7
    assert stats.binomtest(7, 7, 0.5, alternative="greater").pvalue == pytest.approx(0.0078, abs=1e-4)
    assert word_of(EVENTS, counts(canary), counts([0.0] * 25)) is not Word.PASSED


def test_four_events_in_six_windows_against_none_are_inconclusive_never_a_silent_pass() -> None:
    assert word_of(EVENTS, counts([0, 1, 2, 1, 0, 0]), counts([0.0] * 6)) is Word.INCONCLUSIVE


def test_a_wild_canary_beside_a_calm_control_does_not_pass_silently() -> None:
    canary = [1.0, 100.0, 4.0, 101.0, 5.0, 102.0, 103.0, 104.0, 105.0, 106.0, 17.0]
    control = [10.0, 10.1, 10.2, 10.3, 10.4, 10.5, 10.6, 17.0, 17.2, 17.5, 17.7]
    assert word_of(LEVEL, gauges(canary), gauges(control)) is not Word.PASSED


@pytest.mark.parametrize("scale", [1e-5, 1.0, 1e5, 1e12])
def test_a_clear_doubling_is_found_at_every_scale(scale: float) -> None:
    canary = [scale * (2.0 + 0.01 * (i % 3)) for i in range(12)]
    control = [scale * (1.0 + 0.01 * (i % 4)) for i in range(12)]
    assert word_of(LEVEL, gauges(canary), gauges(control)) is Word.BREACH
