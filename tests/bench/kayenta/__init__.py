"""A classifier compatible with Kayenta's, for teams that bring its configurations; it is not our judge."""

from tests.bench.kayenta.classify import Classification, Label, classify
from tests.bench.kayenta.config import Direction, MetricConfig, NanStrategy
from tests.bench.kayenta.judge import Result, judge
from tests.bench.kayenta.mann_whitney import Interval, difference_interval
from tests.bench.kayenta.score import GroupScore, Score, Verdict, score

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
