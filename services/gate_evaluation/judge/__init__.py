"""The judge: anytime-valid gates over windows of aggregates, in pure numpy, without clock, randomness or input."""

from services.gate_evaluation.judge.gates.history import History
from services.gate_evaluation.judge.judge import Judge
from services.gate_evaluation.judge.measures import (
    Cohort,
    Count,
    ExplicitHistogram,
    ExponentialHistogram,
    Gauge,
    Measure,
    MeasureError,
    Ratio,
    Window,
)
from services.gate_evaluation.judge.spec import (
    Authority,
    Direction,
    GateKind,
    GateSpec,
    JudgeSpec,
    Margin,
    Sensitivity,
    weights_of,
)
from services.gate_evaluation.judge.verdict import (
    JUDGE_VERSION,
    WORST_FIRST,
    Deciding,
    GateVerdict,
    NoData,
    Outlook,
    Reason,
    WindowVerdict,
    Word,
)

__all__ = [
    "JUDGE_VERSION",
    "WORST_FIRST",
    "Authority",
    "Cohort",
    "Count",
    "Deciding",
    "Direction",
    "ExplicitHistogram",
    "ExponentialHistogram",
    "GateKind",
    "GateSpec",
    "GateVerdict",
    "Gauge",
    "History",
    "Judge",
    "JudgeSpec",
    "Margin",
    "Measure",
    "MeasureError",
    "NoData",
    "Outlook",
    "Ratio",
    "Reason",
    "Sensitivity",
    "Window",
    "WindowVerdict",
    "Word",
    "weights_of",
]
