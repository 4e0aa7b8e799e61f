"""A plan that loads is a plan that the judge takes: what it would refuse is refused with its line."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.errors import PlanError
from penstock.events import Cohort, Ratio, StageJudged, WindowClosed
from penstock.plan import load_plan
from services.gate_evaluation.judge import Authority, GateKind, GateSpec
from services.gate_evaluation.judge.burn import BurnComparison
from services.gate_evaluation.specs import judge_spec
from tests.support.plans import SHORT, TARGET
from tests.support.slice import deploy, pipeline
from tests.support.windows import moment, window

_percent = st.integers(0, 120)
_margins = st.builds("{{relative: {}%}}".format, _percent)
_shares = st.builds("{{relative: {}%, absolute: {}pp}}".format, _percent, st.sampled_from([0, 0.05, 1, 5]))
_direction = st.sampled_from(["up", "down", "both"])
_authority = st.sampled_from(["rollback", "hold", "advise"])


def with_gate(body: str) -> str:
    """Return the short plan with one more gate."""
    return SHORT.replace("stages:\n", f"  more: {{metric: m, {body}}}\nstages:\n", 1)


@st.composite
def gates(draw: st.DrawFn) -> str:
    kind = draw(st.sampled_from(["ratio", "quantile", "mean", "gauge", "count", "slo", "burn_rate"]))
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
        ("kind: slo, bad_metric: n, objective: 0%", "greater than 0"),
    ],
)
def test_what_cannot_be_judged_is_refused_with_its_line(gate: str, said: str) -> None:
    with pytest.raises(PlanError) as refused:
        load_plan(with_gate(gate))
    (problem,) = refused.value.problems
    assert said in problem.what
    assert problem.line == with_gate(gate).splitlines().index(f"  more: {{metric: m, {gate}}}") + 1


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
    assert [pair.factor for pair in BurnComparison(gate, 0).pairs] == [3.6, 1.5, 0.25]
