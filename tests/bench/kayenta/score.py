"""Kayenta's score: the share of passing metrics in each group, groups weighted, thresholds for pass and marginal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from penstock.errors import InvalidError, Problem
from tests.bench.kayenta.classify import Classification, Label

_COUNTED = (Label.PASS, Label.HIGH, Label.LOW, Label.NODATA_FAIL)


class Verdict(StrEnum):
    """Kayenta's words, and ours for a canary without any data (Kayenta scores it 0 or 100)."""

    PASS = "Pass"
    MARGINAL = "Marginal"
    FAIL = "Fail"
    NODATA = "Nodata"


@dataclass(frozen=True, slots=True)
class GroupScore:
    """One group: its score (None without data) and weight in per cent."""

    name: str
    score: float | None
    weight: float


@dataclass(frozen=True, slots=True)
class Score:
    """The whole canary: score out of 100, verdict, groups, and the metrics that failed it by themselves."""

    value: float | None
    verdict: Verdict
    groups: tuple[GroupScore, ...]
    critical: tuple[str, ...]


def score(
    found: Sequence[tuple[tuple[str, ...], Classification]],
    weights: Mapping[str, float],
    passing: float = 95.0,
    marginal: float = 75.0,
) -> Score:
    """Return the score.

    Args:
        found: the groups of each metric, and its classification.
        weights: of groups, in per cent; groups without one share what is left.
        passing, marginal: least scores for the two verdicts.

    Raises:
        InvalidError: weights beyond 100 %, or thresholds out of order.
    """
    if sum(weights.values()) > 100.0 + 1e-9 or not 0 <= marginal <= passing <= 100:
        raise InvalidError("score", [Problem("weights", "weights sum to at most 100, marginal <= pass <= 100")])
    names = sorted({group for groups, _ in found for group in groups})
    unnamed = [name for name in names if name not in weights]
    rest = (100.0 - sum(weights.values())) / len(unnamed) if unnamed else 0.0
    groups = tuple(GroupScore(name, _group(name, found), weights.get(name, rest)) for name in names)
    critical = tuple(each.name for _, each in found if each.critical)
    measured = [group for group in groups if group.score is not None]
    if critical:
        return Score(0.0, Verdict.FAIL, groups, critical)
    if not measured or not sum(group.weight for group in measured) > 0:
        return Score(None, Verdict.NODATA, groups, ())
    value = sum((group.score or 0.0) * group.weight for group in measured) / 100.0
    verdict = Verdict.PASS if value >= passing else Verdict.MARGINAL if value >= marginal else Verdict.FAIL
    return Score(value, verdict, groups, ())


def _group(name: str, found: Sequence[tuple[tuple[str, ...], Classification]]) -> float | None:
    labels = [each.label for groups, each in found if name in groups and each.label in _COUNTED]
    if not labels:
        return None
    return 100.0 * sum(label is Label.PASS for label in labels) / len(labels)
