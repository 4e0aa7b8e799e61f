"""The rule: breach at once, pass at the end of the bake, inconclusive otherwise, never a verdict without data."""

import json

import numpy as np
import pytest

from penstock.errors import InvalidError
from services.gate_evaluation.judge import (
    Authority,
    Cohort,
    GateKind,
    GateSpec,
    History,
    Judge,
    JudgeSpec,
    NoData,
    Ratio,
    Reason,
    Sensitivity,
    Window,
    Word,
)
from services.gate_evaluation.judge.decision.rule import Bake, Standing, decide
from tests.support.judge.judging import ERRORS, FOUR, P99, calm, cohort, errors_gate, history, judged, window

CALM = window(5, 1000, 95, 19_000)
BAD = window(40, 1000, 95, 19_000)


def spec(*gates: GateSpec, bake: int = 20, **more: object) -> JudgeSpec:
    return JudgeSpec(gates or (ERRORS,), min_bake=bake, max_bake=bake, **more)  # type: ignore[arg-type]


def standing(name: str = "g", f: float = 0.0, p: float = 9.0, **more: object) -> Standing:
    kept = {"authority": Authority.ROLLBACK, "weight": 1.0, "no_data": None, **more}
    return Standing(name=name, log_f=f, log_p=p, **kept)  # type: ignore[arg-type]


def test_a_breach_is_final_at_once_and_stands() -> None:
    verdicts = judged(spec(), [BAD] * 8 + [CALM] * 4, history((ERRORS,), n=10_000))
    first = next(i for i, verdict in enumerate(verdicts) if verdict.word is Word.BREACH)
    assert 1 <= first < 8
    assert all(verdict.word is Word.BREACH and verdict.final for verdict in verdicts[first:])
    assert verdicts[first].blamed == ("errors",)
    assert verdicts[first].reason is Reason.EVIDENCE


def test_no_single_window_decides() -> None:
    verdicts = judged(spec(), [window(400, 1000, 95, 19_000)], history((ERRORS,), n=10_000))
    assert verdicts[0].word is Word.INCONCLUSIVE


def test_a_pass_comes_only_at_the_end_of_the_minimum_bake() -> None:
    verdicts = judged(spec(bake=60), [CALM] * 60, history((ERRORS,), n=10_000))
    assert [verdict.word for verdict in verdicts[:-1]] == [Word.INCONCLUSIVE] * 59
    assert not any(verdict.final for verdict in verdicts[:-1])
    assert (verdicts[-1].word, verdicts[-1].final) == (Word.PASSED, True)


def test_a_bake_too_short_to_tell_ends_inconclusive_and_an_extension_carries_evidence_over() -> None:
    judge = Judge.start(spec(bake=4), history((ERRORS,), n=10_000))
    verdicts = [judge.observe(CALM, None) for _ in range(4)]
    assert (verdicts[-1].word, verdicts[-1].final, verdicts[-1].reason) == (Word.INCONCLUSIVE, True, Reason.BAKE_OVER)
    before = verdicts[-1].gates[0].log10_p
    judge.extend(40)
    after = [judge.observe(CALM, None) for _ in range(40)]
    assert after[0].gates[0].log10_p > before
    assert after[-1].word is Word.PASSED


def test_a_new_stage_restarts_the_pass_side_and_keeps_the_fail_side() -> None:
    judge = Judge.start(spec(bake=10), history((ERRORS,), n=10_000))
    last = [judge.observe(window(9, 1000, 95, 19_000), 0.05) for _ in range(10)][-1]
    judge.new_stage()
    first = judge.observe(window(45, 5000, 75, 15_000), 0.25)
    assert first.stage_judged == 1
    assert first.judged == 11
    assert first.gates[0].log10_f > last.gates[0].log10_f - 0.5
    assert first.gates[0].log10_p < max(last.gates[0].log10_p, 0.5)


def test_a_shared_outage_rolls_nothing_back() -> None:
    outage = window(300, 1000, 5700, 19_000)
    verdicts = judged(spec(bake=60), [CALM] * 10 + [outage] * 10 + [CALM] * 40, history((ERRORS,), n=10_000))
    assert Word.BREACH not in {verdict.word for verdict in verdicts}


def test_a_crash_is_found_in_two_windows_without_any_history() -> None:
    crash = window(30, 50, 1, 950)
    verdicts = judged(spec(), [crash, crash])
    assert verdicts[0].word is not Word.BREACH
    assert (verdicts[1].word, verdicts[1].reason) == (Word.BREACH, Reason.EVIDENCE)


def test_a_canary_without_live_instances_is_a_catastrophe() -> None:
    dead = Window(canary=Cohort({}, requests=0, live=0), baseline=cohort(5, 1000))
    assert judged(spec(), [dead])[0].reason is Reason.CATASTROPHE


def test_warm_up_windows_do_not_count() -> None:
    verdicts = judged(spec(bake=20, warmup_windows=3), [BAD] * 3 + [CALM] * 20, history((ERRORS,), n=10_000))
    assert [verdict.reason for verdict in verdicts[:3]] == [Reason.WARM_UP] * 3
    assert verdicts[-1].judged == 20
    assert Word.BREACH not in {verdict.word for verdict in verdicts}


def test_a_wrong_split_turns_a_pass_into_inconclusive() -> None:
    past = history((ERRORS,), n=10_000)
    judge = Judge.start(spec(bake=60), past)
    verdicts = [judge.observe(window(10, 2000, 90, 18_000), 0.05) for _ in range(60)]
    assert (verdicts[-1].word, verdicts[-1].reason) == (Word.INCONCLUSIVE, Reason.TRAFFIC_SPLIT)
    assert "traffic_split" in verdicts[-1].flags


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (Window(canary=cohort(None, 0.0), baseline=cohort(5)), NoData.NO_TRAFFIC),
        (Window(canary=cohort(0.0, 0.0), baseline=cohort(5)), NoData.NO_TRAFFIC),
        (Window(canary=None, baseline=None), NoData.TELEMETRY_OUTAGE),
        (Window(canary=cohort(None), baseline=cohort(5)), NoData.TELEMETRY_OUTAGE),
        (Window(canary=cohort(5), baseline=cohort(5), late=True), NoData.LATE_DATA),
        (Window(canary=cohort(5), baseline=cohort(5), resets=frozenset({"errors"})), NoData.TOO_FEW_SAMPLES),
    ],
)
def test_a_window_without_data_says_why_and_changes_no_evidence(seen: Window, why: NoData) -> None:
    judge = Judge.start(spec(bake=60), history((ERRORS,), n=10_000))
    before = [judge.observe(CALM, None) for _ in range(5)][-1]
    verdict = judge.observe(seen, None)
    assert (verdict.word, verdict.final, verdict.reason) == (Word.NO_DATA, False, Reason.NOT_MEASURED)
    assert verdict.gates[0].no_data is why
    assert verdict.gates[0].log10_f == before.gates[0].log10_f
    assert verdict.gates[0].log10_p == before.gates[0].log10_p
    assert verdict.judged == before.judged


def test_a_misnamed_metric_is_never_seen_and_never_passes() -> None:
    gates = (ERRORS, GateSpec("p99", "latenzy", GateKind.QUANTILE, q=0.99))
    verdicts = judged(spec(*gates, bake=30), [CALM] * 30, history(gates))
    assert verdicts[-1].gates[1].no_data is NoData.METRIC_NEVER_SEEN
    assert {verdict.word for verdict in verdicts} == {Word.NO_DATA}


def test_a_gate_that_saw_next_to_nothing_ends_with_too_few_samples() -> None:
    verdict = judged(spec(bake=6), [window(0, 1, 5, 1000)] * 6, history((ERRORS,)))[-1]
    assert (verdict.word, verdict.final) == (Word.NO_DATA, True)


def test_a_hold_gate_in_breach_holds_and_an_advisory_one_does_nothing() -> None:
    for authority, word, reason in (
        (Authority.HOLD, Word.INCONCLUSIVE, Reason.HELD),
        (Authority.ADVISE, Word.PASSED, Reason.ALL_EXCLUDED),
    ):
        gates = (errors_gate(), GateSpec("soft", "soft", GateKind.RATIO, authority=authority))

        def one(soft: float) -> Window:
            canary = cohort(5, 1000, soft=Ratio(soft, 1000))
            return Window(canary=canary, baseline=cohort(95, 19_000, soft=Ratio(95, 19_000)))

        past = History(gates)
        for _ in range(60):
            past.update(Window(a=one(5).baseline, b=one(5).baseline))
        verdict = judged(spec(*gates, bake=60), [one(40)] * 60, past)[-1]
        assert (verdict.word, verdict.reason) == (word, reason)


def test_a_stage_passes_on_its_own_gates_while_the_others_only_guard() -> None:
    gates = (ERRORS, GateSpec("absent", "absent", GateKind.RATIO))

    def last(must_pass: tuple[str, ...] | None) -> Word:
        judge = Judge.start(spec(*gates, bake=60), history((ERRORS,), n=10_000))
        judge.new_stage(60, 60, must_pass)
        judge.observe(CALM, None)
        judge = Judge.from_doc(judge.spec, json.loads(json.dumps(judge.to_doc())))
        return [judge.observe(CALM, None) for _ in range(59)][-1].word

    assert last(("errors",)) is Word.PASSED
    assert last(None) is Word.NO_DATA


def test_blame_falls_on_a_metric_only_if_it_carries_the_breach_alone() -> None:
    half = [standing("a", f=5.0, weight=0.5), standing("b", f=5.1, weight=0.5)]
    decision = decide(half, Bake(5, 9, 9), alpha=0.01, alpha_pass=0.05, split_ok=True, catastrophe=False)
    assert (decision.word, decision.blamed) == (Word.BREACH, ("b", "a"))
    alone = [standing("a", f=-1.0, weight=0.5), standing("b", f=9.0, weight=0.5)]
    decision = decide(alone, Bake(5, 9, 9), alpha=0.01, alpha_pass=0.05, split_ok=True, catastrophe=False)
    assert decision.blamed == ("b",)


def test_suspicion_keeps_a_pass_back() -> None:
    decision = decide([standing(f=3.0)], Bake(9, 9, 12), alpha=0.01, alpha_pass=0.05, split_ok=True, catastrophe=False)
    assert (decision.word, decision.final, decision.reason) == (Word.INCONCLUSIVE, False, Reason.SUSPICION)


def test_sensitivity_estimate_is_faster_on_a_small_effect() -> None:
    def windows_to_breach(sensitivity: Sensitivity) -> int:
        asked = spec(bake=200, sensitivity=sensitivity, splits=(0.5,))
        verdicts = judged(asked, [window(130, 10_000, 100, 10_000)] * 200, history((ERRORS,), n=10_000, rate=0.01))
        return next((i for i, verdict in enumerate(verdicts) if verdict.word is Word.BREACH), 999)

    assert windows_to_breach(Sensitivity.ESTIMATE) < windows_to_breach(Sensitivity.TOLERANCE)


def test_sensitivity_estimate_never_fires_below_its_tolerance() -> None:
    asked = spec(bake=200, sensitivity=Sensitivity.ESTIMATE, splits=(0.5,))
    verdicts = judged(asked, [window(105, 10_000, 100, 10_000)] * 200, history((ERRORS,), n=10_000, rate=0.01))
    assert Word.BREACH not in {verdict.word for verdict in verdicts}


def test_a_restart_continues_bit_for_bit() -> None:
    rng = np.random.default_rng(8)
    windows = [
        Window(canary=calm(rng, 300), baseline=calm(rng, 3000), a=calm(rng, 900), b=calm(rng, 900)) for _ in range(30)
    ]
    judge = Judge.start(spec(*FOUR, bake=30), history(FOUR))
    for each in windows[:13]:
        judge.observe(each, 0.1)
    twin = Judge.from_doc(judge.spec, json.loads(json.dumps(judge.to_doc())))
    for each in windows[13:]:
        assert twin.observe(each, 0.1) == judge.observe(each, 0.1)
    assert twin.to_doc() == judge.to_doc()


def test_the_state_of_a_rollout_stays_small() -> None:
    rng = np.random.default_rng(8)
    judge = Judge.start(spec(*FOUR, bake=300), history(FOUR))
    for _ in range(150):
        judge.observe(Window(canary=calm(rng, 100), baseline=calm(rng, 900), a=calm(rng, 400), b=calm(rng, 400)), 0.1)
    assert len(json.dumps(judge.to_doc())) <= 64 * 1024


def test_the_state_of_another_spec_is_refused() -> None:
    doc = Judge.start(spec(ERRORS)).to_doc()
    with pytest.raises(InvalidError):
        Judge.from_doc(spec(ERRORS, P99), doc)


def test_a_spec_lists_all_of_its_problems() -> None:
    bad = GateSpec("g", "m", GateKind.QUANTILE, q=1.5, weight=-1)
    with pytest.raises(InvalidError) as raised:
        JudgeSpec((bad, bad), alpha=2, min_bake=5, max_bake=3, splits=(0.0,))
    assert len(raised.value.problems) >= 7
