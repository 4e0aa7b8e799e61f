"""Plans: their model, how they load, and their JSON Schema for editors."""

from typing import Any

from penstock.events.verdicts import Direction
from penstock.plan.advice import doubts_about, notes_on
from penstock.plan.gates import (
    BurnRateGate,
    CountGate,
    Gate,
    GaugeGate,
    Margin,
    MeanGate,
    OwnHistoryGate,
    QuantileGate,
    RatioGate,
    Reads,
    ShareMargin,
    SloGate,
    reads_of,
)
from penstock.plan.load import hash_of, load_plan
from penstock.plan.model import (
    Approval,
    Audience,
    Bake,
    Cohorts,
    Condition,
    FlagStep,
    NoDataAction,
    OnInconclusive,
    Plan,
    Soak,
    Stage,
    Step,
    WebhookStep,
)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of plans, as people write them."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Plan.model_json_schema(mode="validation")}


__all__ = [
    "Approval",
    "Audience",
    "Bake",
    "BurnRateGate",
    "Cohorts",
    "Condition",
    "CountGate",
    "Direction",
    "FlagStep",
    "Gate",
    "GaugeGate",
    "Margin",
    "MeanGate",
    "NoDataAction",
    "OnInconclusive",
    "OwnHistoryGate",
    "Plan",
    "QuantileGate",
    "RatioGate",
    "Reads",
    "ShareMargin",
    "SloGate",
    "Soak",
    "Stage",
    "Step",
    "WebhookStep",
    "doubts_about",
    "hash_of",
    "json_schema",
    "load_plan",
    "notes_on",
    "reads_of",
]
