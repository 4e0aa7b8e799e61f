"""A plan compiled for the hot path: which points count for which gates of a target, and in which cohort."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from penstock.events import Cohort, Doubt
from penstock.plan import (
    BurnRateGate,
    Gate,
    MeanGate,
    OwnHistoryGate,
    QuantileGate,
    RatioGate,
    Reads,
    SloGate,
    reads_of,
)
from penstock.targets import parse_target
from services.metric_ingestion.selection.watch import Watched
from services.metric_ingestion.windows.frames import Part, Role, Temporality

ENVIRONMENT = ("deployment.environment.name", "deployment.environment")
FLAG_KEY = "feature_flag.key"
FLAG_VARIANT = ("feature_flag.result.variant", "feature_flag.variant")
HALF = "penstock.half"
_HALVES = {"a", "b"}

Attributes = Mapping[str, str]
Matches = Callable[[Attributes, Attributes], bool]


class Form(StrEnum):
    """What kind of points a metric has."""

    COUNTER = "counter"
    LEVEL = "level"
    CHANGE = "change"
    EXPLICIT = "explicit"
    EXPONENTIAL = "exponential"


@dataclass(frozen=True)
class Traits:
    """What of a point, beside its attributes, decides for which gates it is good.

    Attributes:
        form, unit: of the metric; temporality: of its points.
        default_edges: the SDK's default edges; no_edges: only a count and a sum; no_sum, negative: as they say.
    """

    form: Form
    unit: str
    temporality: Temporality
    default_edges: bool = False
    no_edges: bool = False
    no_sum: bool = False
    negative: bool = False


@dataclass(frozen=True)
class _Use:
    """One way in which a metric serves a gate."""

    name: str
    gate: Gate
    where: Matches
    bad: Matches | None
    only_bad: bool


class Matcher:
    """The compiled plan of one target."""

    def __init__(self, watched: Watched) -> None:
        self.watched = watched
        self.target = watched.target
        self.environment, self.service, self._flag = parse_target(watched.target)
        self.length = round(watched.plan.windows.length * 1e9)
        self._uses: dict[str, list[_Use]] = {}
        for name, gate in watched.plan.gates.items():
            for metric, use in _uses(name, gate):
                self._uses.setdefault(metric, []).append(use)

    @property
    def metrics(self) -> frozenset[str]:
        """Names of the metrics that count for any gate."""
        return frozenset(self._uses)

    def cohort(self, point: Attributes, resource: Attributes) -> Cohort | None:
        """Return whose request a point measured, None if it belongs to no cohort."""
        cohorts = self.watched.plan.cohorts
        if cohorts.by == "service_version":
            version = resource.get("service.version")
            if version is None:
                return None
            return Cohort.CANARY if version == self.watched.version else Cohort.BASELINE
        if _first(point, resource, (FLAG_KEY,)) != self._flag:
            return None
        variant = _first(point, resource, FLAG_VARIANT)
        return {cohorts.canary: Cohort.CANARY, cohorts.baseline: Cohort.BASELINE}.get(variant or "")

    def parts(self, metric: str, traits: Traits, point: Attributes, resource: Attributes) -> tuple[Part, ...]:
        """Return the gates for which a point of this metric counts, and as what."""
        found: list[Part] = []
        for use in self._uses.get(metric, ()):
            if use.where(point, resource):
                found.extend(_parts(use, traits, point, resource))
        return tuple(found)


def half(point: Attributes, resource: Attributes) -> str:
    """Return the A/A half that the application states, or nothing."""
    stated = _first(point, resource, (HALF,))
    return stated if stated in _HALVES else ""


def _first(point: Attributes, resource: Attributes, names: tuple[str, ...]) -> str | None:
    for attributes in (point, resource):
        for name in names:
            if name in attributes:
                return attributes[name]
    return None


def _uses(name: str, gate: Gate) -> Iterator[tuple[str, _Use]]:
    where = _all(gate.where)
    match gate:
        case RatioGate() | SloGate() | BurnRateGate() | OwnHistoryGate() if reads_of(gate) is Reads.SHARE:
            yield gate.metric, _Use(name, gate, where, _all(gate.bad) if gate.bad else None, only_bad=False)
            if gate.bad_metric:
                yield gate.bad_metric, _Use(name, gate, where, None, only_bad=True)
        case _:
            yield gate.metric, _Use(name, gate, where, None, only_bad=False)


_ROLES = {Reads.HISTOGRAM: Role.DISTRIBUTION, Reads.LEVEL: Role.LEVEL, Reads.AMOUNT: Role.AMOUNT}


def _parts(use: _Use, traits: Traits, point: Attributes, resource: Attributes) -> Iterator[Part]:
    doubt, reads = _doubt(use.gate, traits), reads_of(use.gate)
    if reads is not Reads.SHARE:
        yield Part(use.name, _ROLES[reads], doubt)
        return
    if not use.only_bad:
        yield Part(use.name, Role.TOTAL, doubt)
    if use.only_bad or (use.bad is not None and use.bad(point, resource)):
        yield Part(use.name, Role.BAD, doubt)


def _doubt(gate: Gate, traits: Traits) -> str:
    histogram = traits.form in {Form.EXPLICIT, Form.EXPONENTIAL}
    match reads_of(gate):
        case Reads.HISTOGRAM:
            return _doubt_of_distribution(gate, traits) if histogram else Doubt.WRONG_KIND
        case Reads.LEVEL:
            return "" if traits.form is Form.LEVEL else Doubt.WRONG_KIND
        case _:
            return "" if histogram or traits.form is Form.COUNTER else Doubt.WRONG_KIND


def _doubt_of_distribution(gate: Gate, traits: Traits) -> str:
    # Edges made for milliseconds put nearly every request measured in seconds into one bucket.
    if traits.default_edges and traits.unit in {"s", ""}:
        return Doubt.DEFAULT_BUCKETS
    if traits.no_edges:
        return Doubt.NO_BUCKETS
    if traits.negative:
        return Doubt.NEGATIVE_VALUES
    if isinstance(gate, MeanGate):
        return Doubt.NO_SUM if traits.no_sum else ""
    if isinstance(gate, QuantileGate | SloGate):
        return Doubt.OTHER_UNIT if traits.unit in {"s", "ms", "us", "ns"} - {gate.unit} else ""
    return ""


def _all(patterns: Mapping[str, str]) -> Matches:
    checks = [(name, _pattern(text)) for name, text in patterns.items()]

    def matches(point: Attributes, resource: Attributes) -> bool:
        for name, check in checks:
            value = point.get(name)
            if value is None:
                value = resource.get(name)
            if value is None or not check(value):
                return False
        return True

    return matches


def _pattern(text: str) -> Callable[[str], bool]:
    if "*" not in text:
        return text.__eq__
    expression = re.compile(".*".join(re.escape(piece) for piece in text.split("*")), re.DOTALL)
    return lambda value: expression.fullmatch(value) is not None
