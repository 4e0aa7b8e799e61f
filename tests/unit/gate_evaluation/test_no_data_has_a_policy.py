"""Each of the reasons for having no data comes about from windows, and does what the plan says of it."""

from collections.abc import Callable
from typing import Any

import pytest

from penstock.events import Cohort, Doubt, NoDataReason, RolloutEvent, RolloutHeld
from tests.support.judge.telling import HALVES, rolled_out, told
from tests.support.metrics.windows import moment, window
from tests.support.plans import SHORT, TARGET

Told = Callable[[int], dict[str, Any]]


def no_traffic(number: int) -> dict[str, Any]:
    measures = {name: found for name, found in told(number).measures.items() if name is not Cohort.CANARY}
    return {"measures": measures, "requests": {Cohort.BASELINE: 300.0, **HALVES}}


def telemetry_outage(number: int) -> dict[str, Any]:
    return {} if number < 3 else {"measures": {}, "requests": {}, "sources": {}}


def metric_never_seen(number: int) -> dict[str, Any]:
    return {"measures": {name: {"errors": gates["errors"]} for name, gates in told(number).measures.items()}}


def too_few_samples(number: int) -> dict[str, Any]:
    sparse = window(TARGET, number, moment(), canary=1, baseline=60)
    return {"measures": sparse.measures, "requests": {Cohort.CANARY: 1.0, Cohort.BASELINE: 60.0}}


def late_data(number: int) -> dict[str, Any]:
    return {"unheard": {Cohort.BASELINE: 2}, "late": 5}


def unattributed(number: int) -> dict[str, Any]:
    measures = {name: {"p50": gates["p50"]} if "p50" in gates else {} for name, gates in told(number).measures.items()}
    gates = {gate for found in told(number).measures.values() for gate in found}
    return {"measures": measures, "doubts": dict.fromkeys(gates, Doubt.UNATTRIBUTED)}


CAUSES: dict[NoDataReason, Told] = {
    NoDataReason.NO_TRAFFIC: no_traffic,
    NoDataReason.TELEMETRY_OUTAGE: telemetry_outage,
    NoDataReason.METRIC_NEVER_SEEN: metric_never_seen,
    NoDataReason.TOO_FEW_SAMPLES: too_few_samples,
    NoDataReason.LATE_DATA: late_data,
    NoDataReason.UNATTRIBUTED: unattributed,
}


MOVES = {
    "hold": "rollout.held",
    "extend": "stage.extended",
    "rollback": "rollback.started",
    "page": "rollout.held",
}


def first_answer(reason: NoDataReason, policies: str) -> RolloutEvent:
    """Return the first transition after the stage was entered."""
    text = SHORT.replace("bake: {min: 8, max: 40}", "bake: {min: 8, max: 12}")
    text = text.replace("exposure: 25%,", f"exposure: 25%, on_no_data: {policies},")
    text = text.replace("rollback:\n", "rollback:\n  escalate_to: [on-call]\n")
    world = rolled_out(CAUSES[reason], text, windows=24)
    moves = [event for event in world.said if isinstance(event, RolloutEvent)]
    assert moves[1].type == "stage.entered"
    return moves[2]


@pytest.mark.parametrize("reason", NoDataReason)
@pytest.mark.parametrize(
    ("action", "moves"),
    [
        ("hold", "rollout.held"),
        ("extend", "stage.extended"),
        ("rollback", "rollback.started"),
        ("page", "rollout.held"),
    ],
)
def test_a_reason_does_what_the_plan_says_of_it(reason: NoDataReason, action: str, moves: str) -> None:
    others = {"hold": "rollback"}.get(action, "hold")
    policies = {str(each): action if each is reason else others for each in NoDataReason}
    answer = first_answer(reason, "{" + ", ".join(f"{name}: {what}" for name, what in policies.items()) + "}")
    assert answer.type == moves
    assert {gate.no_data for gate in answer.ground.gates} - {None} == {reason}
    if isinstance(answer, RolloutHeld):
        assert answer.to == (("on-call",) if action == "page" else ())


@pytest.mark.parametrize("reason", NoDataReason)
def test_a_reason_of_which_the_plan_says_nothing_holds(reason: NoDataReason) -> None:
    assert first_answer(reason, "{}").type == "rollout.held"
