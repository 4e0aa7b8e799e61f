"""A plan that loads is a plan that the judge takes: what it would refuse is refused with its line."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.errors import PlanError
from penstock.events import Cohort, Ratio, StageJudged, WindowClosed
from penstock.plan import doubts_about, load_plan, notes_on
from services.gate_evaluation.judge import Authority, GateKind, GateSpec
from services.gate_evaluation.judge.gates.burn_rate import BurnRateMonitor
from services.gate_evaluation.judge_spec import judge_spec
from tests.support.deciders.slice import deploy, pipeline
from tests.support.metrics.windows import moment, window
from tests.support.plans import SHORT, TARGET

_percent = st.integers(0, 120)
_margins = st.builds("{{relative: {}%}}".format, _percent)
_shares = st.builds("{{relative: {}%, absolute: {}pp}}".format, _percent, st.sampled_from([0, 0.05, 1, 5]))
_direction = st.sampled_from(["up", "down", "both"])
_quantile = st.sampled_from([0.5, 0.9, 0.99, 0.9999])
_unit = st.sampled_from(["s", "ms"])
_followed = st.sampled_from(
    ["follows: ratio, bad_metric: n", "follows: quantile, quantile: 0.9", "follows: gauge", "follows: count"]
)
_authority = st.sampled_from(["rollback", "hold", "advise"])


def with_gate(body: str) -> str:
    """Return the short plan with one more gate."""
    return SHORT.replace("stages:\n", f"  more: {{metric: m, {body}}}\nstages:\n", 1)


@st.composite
def gates(draw: st.DrawFn) -> str:
    kind = draw(
        st.sampled_from(["ratio", "quantile", "mean", "gauge", "count", "slo", "latency", "burn_rate", "own_history"])
    )
    if kind == "latency":
        return f"kind: slo, quantile: {draw(_quantile)}, below: {draw(st.integers(0, 9000))}ms, unit: {draw(_unit)}"
    if kind == "own_history":
        return f"kind: own_history, direction: {draw(_direction)}, {draw(_followed)}"
    parts = [f"kind: {kind}"]

    def maybe(key: str, values: st.SearchStrategy[str]) -> None:
        if draw(st.booleans()):
            parts.append(f"{key}: {draw(values)}")

    maybe("authority", _authority)
    margins = _shares if kind in {"ratio", "slo"} else _margins
    if kind != "burn_rate":
        maybe("pass_margin", margins)
    if kind not in {"slo", "burn_rate"}:
        maybe("tolerance", margins)
    if kind in {"ratio", "mean", "gauge", "count"}:
        maybe("direction", _direction)
    if kind in {"ratio", "slo", "burn_rate"}:
        parts.append("bad_metric: n")
    if kind in {"slo", "burn_rate"}:
        parts.append(f"objective: {draw(_percent)}%")
    if kind == "quantile":
        parts.append(f"quantile: {draw(st.sampled_from([0.5, 0.9, 0.99]))}")
    return ", ".join(parts)


@given(gates())
@settings(max_examples=300, deadline=None)
def test_whatever_loads_is_judged(gate: str) -> None:
    text = with_gate(gate)
    with suppress(PlanError):
        load_plan(text)
        judge_spec(text)


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        ("kind: burn_rate, bad_metric: n, objective: 1%, authority: rollback", "proves nothing against the canary"),
        ("kind: gauge, tolerance: {relative: 20%}", "pass_margin is 10 % and 0, tolerance 20 % and 0"),
        ("kind: ratio, bad_metric: n, tolerance: {relative: 60%}", "pass_margin is 50 % and 0.25 pp, tolerance 60 %"),
        ("kind: quantile, quantile: 0.5, tolerance: {relative: 15%}", "pass_margin is 10 %"),
        ("kind: count, tolerance: {relative: 0%}", "the tolerance is zero"),
        ("kind: mean, direction: down", "judged upward only"),
        ("kind: slo, bad_metric: n, objective: 0%", "must be above 0"),
        ("kind: slo, bad_metric: n", "say the objective"),
        ("kind: slo, quantile: 0.99", "says both: `quantile` and `below`"),
        ("kind: slo, below: 300ms", "says both: `quantile` and `below`"),
        ("kind: slo, quantile: 0.99, below: 300", "is not a duration"),
        ("kind: slo, quantile: 0.99, below: 0s", "must be above 0"),
        ("kind: slo, quantile: 0.99, below: 1s, objective: 1%", "`objective` is a share of bad events"),
        ("kind: slo, quantile: 0.99, below: 1s, bad_metric: n", "this gate follows none"),
        ("kind: own_history, follows: gauge, authority: hold", "its authority is advise"),
        ("kind: own_history, follows: gauge, authority: rollback", "its authority is advise"),
        ("kind: own_history, follows: gauge, weight: 1", "it has no weight"),
        ("kind: own_history, follows: quantile", "`quantile` belongs to"),
        ("kind: own_history, follows: count, quantile: 0.5", "`quantile` belongs to"),
        ("kind: own_history, follows: ratio", "say which events are bad"),
        ("kind: own_history, follows: gauge, bad_metric: n", "this gate follows none"),
        ("kind: own_history", "is missing"),
    ],
)
def test_what_cannot_be_judged_is_refused_with_its_line(gate: str, said: str) -> None:
    with pytest.raises(PlanError) as refused:
        load_plan(with_gate(gate))
    (problem,) = refused.value.problems
    assert said in problem.what
    assert problem.line == with_gate(gate).splitlines().index(f"  more: {{metric: m, {gate}}}") + 1


def test_a_gate_that_only_advises_is_no_gate_that_a_stage_can_wait_for() -> None:
    for body in ("kind: own_history, follows: gauge", "kind: gauge, authority: advise"):
        text = with_gate(body).replace("exposure: 25%,", "exposure: 25%, gates: [errors, more],")
        with pytest.raises(PlanError, match="'more' only advises"):
            load_plan(text)


def test_a_latency_objective_reaches_the_judge_in_the_metrics_own_unit() -> None:
    for unit, most in (("s", 0.3), ("ms", 300.0)):
        gate = judge_spec(with_gate(f"kind: slo, quantile: 0.99, below: 300ms, unit: {unit}")).gates[-1]
        assert (gate.kind, gate.q, gate.slo_max) == (GateKind.SLO, 0.99, pytest.approx(most))


def test_what_lint_says_of_plans_that_are_right() -> None:
    own, slow = "kind: own_history, follows: gauge", "kind: slo, quantile: 0.99, below: 300ms"
    assert [note.where for note in notes_on(load_plan(with_gate(own)))] == ["gates.more"]
    assert ["17 hours" in note.what for note in notes_on(load_plan(with_gate(own)))] == [True]
    assert ["buckets" in note.what for note in notes_on(load_plan(with_gate(slow)))] == [True]
    assert list(notes_on(load_plan(SHORT))) == list(doubts_about(load_plan(SHORT))) == []
    everyone = SHORT.replace("exposure: 50%", "exposure: 100%")
    (doubt,) = doubts_about(load_plan(everyone))
    assert doubt.where == "stages.1.exposure"
    assert "no data for errors, p99" in doubt.what
    (doubt,) = doubts_about(load_plan(SHORT.replace("metric:", "authority: advise\n    metric:")))
    assert "every release passes" in doubt.what


def test_a_burn_rate_gate_holds_unless_the_plan_says_otherwise() -> None:
    spec = judge_spec(with_gate("kind: burn_rate, bad_metric: n, objective: 0.1%, period: 7d"))
    burn = spec.gates[-1]
    assert (burn.authority, burn.objective, burn.period) == (Authority.HOLD, pytest.approx(0.999), 7 * 86400)


def burnt(number: int, share: float) -> WindowClosed:
    """Return a window of a minute in which this share of the canary's requests spends the budget."""
    calm = window(TARGET, number, moment(), seconds=60.0, canary=100, baseline=300)
    spent = {"more": Ratio(events=1000 * share, total=1000)}
    found = {cohort: {**gates, **spent} for cohort, gates in calm.measures.items() if cohort is not Cohort.A}
    return calm.model_copy(update={"measures": found})


@pytest.mark.parametrize(("share", "held"), [(0.05, True), (0.0005, False)])
def test_a_plans_error_budget_that_burns_holds_the_rollout(share: float, held: bool) -> None:
    world = pipeline()
    plan = with_gate("kind: burn_rate, bad_metric: n, objective: 0.1%").replace("length: 1s", "length: 1m")
    world.publish("deploys", deploy(plan))
    for number in range(10):
        world.close_window(burnt(number, share))
        world.settle()
    verdicts = [event for event in world.said if isinstance(event, StageJudged)]
    assert any("more" in verdict.blamed for verdict in verdicts) is held
    assert ("rollout.held" in world.types()) is held


def test_a_shorter_period_is_burnt_at_smaller_factors() -> None:
    gate = GateSpec("b", "m", GateKind.BURN_RATE, objective=0.99, authority=Authority.HOLD, period=7.5 * 86400)
    assert [pair.factor for pair in BurnRateMonitor(gate).pairs] == [3.6, 1.5, 0.25]
