"""What the plan reference must say of each key: its default, as people write it in YAML."""

import typing
from enum import Enum
from typing import Any

from pydantic import BaseModel

from penstock.plan import gates, model, selectors
from penstock.plan.gates import Margin, ShareMargin

_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}


def parts() -> list[type[BaseModel]]:
    """Return every class of the plan, the plan first, each once."""
    found: list[type[BaseModel]] = []

    def walk(hint: Any) -> None:
        if isinstance(hint, type) and issubclass(hint, BaseModel) and hint not in found:
            found.append(hint)
            for field in hint.model_fields.values():
                walk(field.annotation)
        for argument in typing.get_args(hint):
            walk(argument)

    walk(model.Plan)
    return found


def keys_of(part: type[BaseModel]) -> dict[str, str]:
    """Return the names of a part's fields by the keys that people write."""
    return {field.alias or name: name for name, field in part.model_fields.items()}


def default_of(part: type[BaseModel], name: str) -> str:
    """Return the default of a key as the reference writes it."""
    field = part.model_fields[name]
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    match value:
        case None:
            return "none"
        case Enum():
            return f"`{value.value}`"
        case Margin() | ShareMargin():
            return _margin(value)
        case BaseModel():
            return "as below"
        case tuple() if value and isinstance(value[0], BaseModel):
            return "one `flag` step"
        case tuple() | dict() | "":
            return f"`[{', '.join(value)}]`" if value else "empty"
        case bool():
            return f"`{str(value).lower()}`"
    return f"`{_quantity(part, name, value)}`"


def _quantity(part: type[BaseModel], name: str, value: Any) -> str:
    hint = repr(typing.get_type_hints(part, include_extras=True)[name])
    if "function fraction" in hint:
        return f"{100 * value:g}%"
    if "function seconds" in hint:
        unit, size = next((unit, size) for unit, size in _UNITS.items() if value >= size and value % size == 0)
        return f"{value / size:g}{unit}"
    return str(value)


def _margin(margin: Margin | ShareMargin) -> str:
    relative = [f"relative: {100 * margin.relative:g}%"] if margin.relative else []
    absolute = [f"absolute: {100 * margin.absolute:g}pp"] if margin.absolute else []
    return f"`{{{', '.join([*relative, *absolute])}}}`"


NAMES: dict[type[BaseModel], str] = {
    model.Plan: "The plan",
    model.PlanTarget: "target",
    model.Cohorts: "cohorts",
    model.Windows: "windows",
    model.Budget: "budget",
    gates.RatioGate: "gates: ratio",
    selectors.Values: "Selectors",
    gates.QuantileGate: "gates: quantile",
    gates.MeanGate: "gates: mean",
    gates.GaugeGate: "gates: gauge",
    gates.CountGate: "gates: count",
    gates.SloGate: "gates: slo",
    gates.BurnRateGate: "gates: burn_rate",
    gates.OwnHistoryGate: "gates: own_history",
    gates.Margin: "Margins",
    gates.ShareMargin: "Margins of shares",
    model.Stage: "stages",
    model.Audience: "stages: audience",
    model.Condition: "stages: audience: all_of",
    model.Bake: "stages: bake",
    model.Approval: "stages: approval",
    model.Soak: "soak",
    model.Rollback: "rollback",
    model.FlagStep: "rollback: steps: flag",
    model.WebhookStep: "rollback: steps: webhook",
    model.Recovery: "rollback: recovery",
    model.DeadMan: "dead_man",
    model.Message: "communication",
}
"""Heading of the reference by class."""
