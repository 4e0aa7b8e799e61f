"""A stage that ends undecided goes on only where the plan says so, and every band ends below its hard limit."""

from typing import Any

import pytest

from penstock.errors import PlanError
from penstock.events import Event, GateVerdict, RolloutEvent, StageJudged, Word
from penstock.events.verdicts import Direction, NoDataReason, Side
from penstock.plan import load_plan
from services.rollout_control.bounded import bounded
from tests.support.deciders.slice import deploy, pipeline
from tests.support.metrics.windows import moment, window
from tests.support.plans import SHORT, TARGET

PLAN = SHORT.replace("exposure: 25%,", "exposure: 25%, on_inconclusive: promote_if_bounded,").replace(
    "pass_margin: {relative: 100%, absolute: 8pp}\n",
    "pass_margin: {relative: 100%, absolute: 8pp}\n    hard_limit: {relative: 200%, absolute: 10pp}\n",
)
ERRORS: dict[str, Any] = {
    "gate": "errors", "kind": "ratio", "word": Word.INCONCLUSIVE, "low": -0.5, "high": 1.9,
    "baseline": Side(n=100, value=0.5),
}  # fmt: skip
P99 = GateVerdict(gate="p99", kind="quantile", word=Word.PASSED)


def asked(*gates: GateVerdict, flags: tuple[str, ...] = (), plan: str = PLAN) -> bool:
    verdict = StageJudged(
        id="v", source="/tests", target=TARGET, time=moment(), rollout="ro", stage="canary", entry="e", window="w",
        window_end=moment(), judged=40, word=Word.INCONCLUSIVE, final=True, gates=gates, flags=flags, judge="4",
        plan_hash="h",
    )  # fmt: skip
    return bounded(load_plan(plan), gates, verdict)


@pytest.mark.parametrize(
    ("changes", "so"),
    [
        ({}, True),
        ({"high": 2.1}, False),
        ({"high": None}, False),
        ({"high": 9.0, "baseline": Side(n=100, value=0.01)}, True),  # ten points of a rate of 1 %
        ({"high": 11.0, "baseline": Side(n=100, value=0.01)}, False),
        ({"word": Word.BREACH}, False),
        ({"word": Word.NO_DATA, "no_data": NoDataReason.TELEMETRY_OUTAGE}, False),
        ({"direction": Direction.DOWN, "low": -1.9, "high": None}, True),
        ({"direction": Direction.BOTH, "low": None}, False),
        ({"gate": "p99"}, False),  # it has no hard limit, and has not passed
        ({"gate": "gone"}, False),
    ],
)
def test_a_gate_is_bounded_where_its_band_ends_below_its_hard_limit(changes: dict[str, Any], so: bool) -> None:
    assert asked(GateVerdict(**{**ERRORS, **changes}), P99) is so


def test_a_wrong_split_or_suspicion_bounds_nothing_and_neither_do_no_gates() -> None:
    errors = GateVerdict(**ERRORS)
    assert asked(errors, P99, flags=("bake_over",))
    assert not asked(errors, P99, flags=("traffic_split",))
    assert not asked(errors, P99, flags=("suspicion",))
    assert not asked()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("    hard_limit: {relative: 200%, absolute: 10pp}\n", "", "needs a `hard_limit`"),
        ("relative: 200%, absolute: 10pp", "relative: 50%, absolute: 10pp", "below the pass margin"),
        ("relative: 200%, absolute: 10pp", "relative: 200%, absolute: 7pp", "below the pass margin"),
    ],
)
def test_a_hard_limit_that_cannot_be_meant_is_refused(old: str, new: str, said: str) -> None:
    with pytest.raises(PlanError, match=said):
        load_plan(PLAN.replace(old, new))


def short_of_a_pass(hard: str) -> list[Event]:
    """Return what becomes of a release whose longest bake is too short for its pass margin."""
    text = SHORT.replace("exposure: 25%, bake: {min: 8, max: 40}",
                         "exposure: 25%, on_inconclusive: promote_if_bounded, bake: {min: 8, max: 12}")  # fmt: skip
    text = text.replace("pass_margin: {relative: 100%, absolute: 8pp}",
                        f"pass_margin: {{relative: 50%, absolute: 0.6pp}}\n    hard_limit: {hard}")  # fmt: skip
    text = text.replace("tolerance: {relative: 50%, absolute: 3pp}", "tolerance: {relative: 50%, absolute: 0.5pp}")
    world = pipeline()
    world.publish("deploys", deploy(text))
    world.settle()
    for number in range(14):
        world.close_window(window(TARGET, number, moment(), canary=60, baseline=60))
        world.settle()
    return [event for event in world.said if isinstance(event, RolloutEvent)]


def test_an_undecided_stage_goes_on_where_its_bands_end_below_the_hard_limits_and_holds_otherwise() -> None:
    wide, near = (short_of_a_pass(f"{{relative: 50%, absolute: {points}pp}}") for points in (60, 0.6))
    assert [event.type for event in wide][2:4] == ["stage.passed", "stage.entered"]
    assert isinstance(wide[2], RolloutEvent)
    assert (wide[2].ground.why.value, wide[2].ground.word) == ("bounded", Word.INCONCLUSIVE)
    assert [event.type for event in near][2:] == ["rollout.held"]
