"""From a plan's exact text to what a rollback needs of it; a text that this version cannot read still rolls back."""

from penstock.errors import PlanError
from penstock.plan import (
    BurnRateGate,
    Direction,
    FlagStep,
    Gate,
    Margin,
    OwnHistoryGate,
    Plan,
    QuantileGate,
    RatioGate,
    ShareMargin,
    SloGate,
    WebhookStep,
    load_plan,
)
from penstock.plan.model import Rollback
from services.rollback_execution.readings import nearest_level
from services.rollback_execution.state import RollbackPlan, Step, Yardstick

_QUANTILE_MARGIN = Margin.model_validate({"relative": "25%"})
_RATIO_MARGIN = ShareMargin.model_validate({"relative": "50%", "absolute": "0.25pp"})


def rollback_plan_of(plan_text: str, plan_hash: str) -> RollbackPlan:
    """Return what a rollback under this plan needs; the defaults, without yardsticks, where the text does not load."""
    try:
        plan = load_plan(plan_text)
    except PlanError:
        return default_plan(plan_hash)
    return _plan_of(plan.rollback, plan_hash, _yardsticks(plan))


def default_plan(plan_hash: str) -> RollbackPlan:
    """Return the needs of a rollback whose plan is unknown: the flag to zero, watched, and a person for the rest."""
    return _plan_of(Rollback(), plan_hash, {})


def _plan_of(rollback: Rollback, plan_hash: str, yardsticks: dict[str, Yardstick]) -> RollbackPlan:
    steps = rollback.steps or (FlagStep(kind="flag"),)
    return RollbackPlan(
        plan=plan_hash,
        steps=tuple(_step(step) for step in steps),
        containment=rollback.containment,
        recovery_windows=rollback.recovery.windows,
        recovery_deadline=rollback.recovery.deadline,
        escalate_to=rollback.escalate_to,
        yardsticks=yardsticks,
    )


def _step(step: FlagStep | WebhookStep) -> Step:
    if isinstance(step, WebhookStep):
        return Step(step.kind, step.name, step.deadline, step.url, step.secret)
    return Step(step.kind, step.name, step.deadline)


def _yardsticks(plan: Plan) -> dict[str, Yardstick]:
    found = {name: _yardstick(gate) for name, gate in plan.gates.items()}
    return {name: yardstick for name, yardstick in found.items() if yardstick is not None}


def _yardstick(gate: Gate) -> Yardstick | None:
    match gate:
        case OwnHistoryGate():
            # What has no margin and may only advise keeps nobody from calling users well.
            return None
        case SloGate(quantile=float() as quantile):
            return _by("level", _QUANTILE_MARGIN, _QUANTILE_MARGIN, level=nearest_level(quantile))
        case RatioGate():
            return _by("ratio", gate.tolerance, gate.pass_margin, gate.direction)
        case SloGate():
            return _by("ratio", gate.pass_margin, gate.pass_margin)
        case BurnRateGate():
            return _by("ratio", _RATIO_MARGIN, _RATIO_MARGIN)
        case QuantileGate():
            level = nearest_level(gate.quantile)
            return _by("level", gate.tolerance, gate.pass_margin or _QUANTILE_MARGIN, level=level)
        case _:
            return _by("mean", gate.tolerance, gate.pass_margin, getattr(gate, "direction", Direction.UP))


def _by(
    by: str, one: Margin | ShareMargin, other: Margin | ShareMargin, direction: Direction = Direction.UP, level: int = 0
) -> Yardstick:
    # Well is what a stage could have passed with: the wider of the two margins.
    return Yardstick(
        by,
        level,
        max(one.relative, other.relative),
        max(one.absolute, other.absolute),
        up=direction is not Direction.DOWN,
        down=direction is not Direction.UP,
    )
