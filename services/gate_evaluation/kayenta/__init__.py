"""A classifier compatible with Kayenta's, for teams that bring its configurations; it is not our judge."""

from services.gate_evaluation.kayenta.classify import Classification, Label, classify
from services.gate_evaluation.kayenta.config import Direction, MetricConfig, NanStrategy
from services.gate_evaluation.kayenta.judge import Result, judge
from services.gate_evaluation.kayenta.mann_whitney import Interval, difference_interval
from services.gate_evaluation.kayenta.score import GroupScore, Score, Verdict, score

__all__ = [
    "Classification",
    "Direction",
    "GroupScore",
    "Interval",
    "Label",
    "MetricConfig",
    "NanStrategy",
    "Result",
    "Score",
    "Verdict",
    "classify",
    "difference_interval",
    "judge",
    "score",
]
