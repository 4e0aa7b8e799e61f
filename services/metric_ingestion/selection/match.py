"""A plan compiled for the hot path: which points count for which gates of a target, and in which cohort."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from penstock.events import Cohort, Doubt, Outside
from penstock.plan import (
    BurnRateGate,
    Gate,
    MeanGate,
    OwnHistoryGate,
    RatioGate,
    Reads,
    SloGate,
    reads_of,
)
from penstock.plan.selectors import Selector, matcher
from penstock.targets import parse_target
from services.metric_ingestion.selection.units import factor, normal
from services.metric_ingestion.selection.watch import Watched
from services.metric_ingestion.windows.frames import Part, Role, Temporality

ENVIRONMENT = ("deployment.environment.name", "deployment.environment")
FLAG_KEY = "feature_flag.key"
FLAG_VARIANT = ("feature_flag.result.variant", "feature_flag.variant")
HALF = "penstock.half"
OVERFLOW = "otel.metric.overflow"
"""On the series into which an SDK puts everything beyond its limit of series: its other attributes are gone."""

_HALVES = {"a", "b"}
_MOST_TEXT = 64

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
    """The properties of a point, beside its attributes, that decide which gates can use it.

    Attributes:
        form, unit: of the metric; temporality: of its points.
        default_edges: the SDK's default edges; no_edges: only a count and a sum;
        no_sum: it has no sum; negative: it holds negative values.
    """

    form: Form
    unit: str
    temporality: Temporality
    default_edges: bool = False
    no_edges: bool = False
    no_sum: bool = False
    negative: bool = False


class Place(NamedTuple):
    """Where a point belongs: to a cohort, or outside of them with the reason and the variant that it names."""

    cohort: str
    outside: str = ""
    value: str = ""


@dataclass(frozen=True)
class _Use:
    """One way in which a metric serves a gate."""

    name: str
    gate: Gate
    where: Matches
    bad: Matches | None
    only_bad: bool
    bad_names: tuple[str, ...] = ()


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
        self._conditional = any(gate.where or getattr(gate, "bad", None) for gate in watched.plan.gates.values())

    @property
    def metrics(self) -> frozenset[str]:
        """Names of the metrics that count for any gate."""
        return frozenset(self._uses)

    def place(self, point: Attributes, resource: Attributes) -> Place | None:
        """Return whose request a point measured; None where it is another flag's record of the request."""
        cohorts = self.watched.plan.cohorts
        if point.get(OVERFLOW) == "true" and (cohorts.by == "flag_variant" or self._conditional):
            return Place("", Outside.OVERFLOW)
        if cohorts.by == "service_version":
            version = resource.get("service.version")
            if version is None:
                return Place("", Outside.NO_VERSION)
            return Place(Cohort.CANARY if version == self.watched.version else Cohort.BASELINE)
        variant = _first(point, resource, FLAG_VARIANT)
        flag = _first(point, resource, (FLAG_KEY,))
        if flag != self._flag:
            return Place("", Outside.NO_FLAG, (variant or "")[:_MOST_TEXT]) if flag is None else None
        if variant is None:
            return Place("", Outside.NO_VARIANT)
        if variant == cohorts.canary:
            return Place(Cohort.CANARY)
        if variant == cohorts.baseline:
            return Place(Cohort.BASELINE)
        return Place("", Outside.OTHER_VARIANT, variant[:_MOST_TEXT])

    def parts(self, metric: str, traits: Traits, point: Attributes, resource: Attributes) -> tuple[Part, ...]:
        """Return the gates for which a point of this metric counts, and as what."""
        found: list[Part] = []
        overflow = point.get(OVERFLOW) == "true"
        for use in self._uses.get(metric, ()):
            # The counts of an overflow series cannot be separated: they may belong to any gate.
            if overflow or use.where(point, resource):
                found.extend(_parts(use, metric, traits, point, resource))
        return tuple(found)

    def unmatched(self, metric: str, point: Attributes, resource: Attributes) -> tuple[tuple[str, str], ...]:
        """Return gate and `attribute=value` where a point is not bad: the values that the conditions left out."""
        found = []
        for use in self._uses.get(metric, ()):
            if use.bad is not None and use.where(point, resource) and not use.bad(point, resource):
                for name in use.bad_names:
                    value = point.get(name, resource.get(name))
                    text = "absent" if value is None else value[:_MOST_TEXT]
                    found.append((use.name, f"{name}={text}"))
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
            bad = _all(gate.bad) if gate.bad else None
            yield gate.metric, _Use(name, gate, where, bad, only_bad=False, bad_names=tuple(gate.bad))
            if gate.bad_metric:
                yield gate.bad_metric, _Use(name, gate, where, None, only_bad=True)
        case _:
            yield gate.metric, _Use(name, gate, where, None, only_bad=False)


_ROLES = {Reads.HISTOGRAM: Role.DISTRIBUTION, Reads.LEVEL: Role.LEVEL, Reads.AMOUNT: Role.AMOUNT}


def _parts(use: _Use, metric: str, traits: Traits, point: Attributes, resource: Attributes) -> Iterator[Part]:
    doubt, reads = _doubt(use.gate, metric, traits), reads_of(use.gate)
    if reads is not Reads.SHARE:
        yield Part(use.name, _ROLES[reads], doubt, *_conversion(use.gate, metric, traits))
        return
    if not use.only_bad:
        yield Part(use.name, Role.TOTAL, doubt)
    if use.only_bad or (use.bad is not None and use.bad(point, resource)):
        yield Part(use.name, Role.BAD, doubt)


def _doubt(gate: Gate, metric: str, traits: Traits) -> str:
    histogram = traits.form in {Form.EXPLICIT, Form.EXPONENTIAL}
    match reads_of(gate):
        case Reads.HISTOGRAM:
            return _doubt_of_distribution(gate, metric, traits) if histogram else Doubt.WRONG_KIND
        case Reads.LEVEL:
            return _doubt_of_unit(gate, metric, traits) if traits.form is Form.LEVEL else Doubt.WRONG_KIND
        case _:
            return "" if histogram or traits.form is Form.COUNTER else Doubt.WRONG_KIND


def _doubt_of_distribution(gate: Gate, metric: str, traits: Traits) -> str:
    # Edges made for milliseconds put nearly every request measured in seconds into one bucket.
    if traits.default_edges and _unit_of(gate, metric, traits) in {"s", ""}:
        return Doubt.DEFAULT_BUCKETS
    if traits.no_edges:
        return Doubt.NO_BUCKETS
    if traits.negative:
        return Doubt.NEGATIVE_VALUES
    if isinstance(gate, MeanGate) and traits.no_sum:
        return Doubt.NO_SUM
    return _doubt_of_unit(gate, metric, traits)


def _doubt_of_unit(gate: Gate, metric: str, traits: Traits) -> str:
    wanted = _unit_wanted_by(gate)
    if not wanted:
        return ""
    times = factor(_unit_of(gate, metric, traits), wanted)
    # Exponential edges are powers of one base: those of milliseconds are no edges of seconds.
    converts = times is not None and (times == 1.0 or traits.form is not Form.EXPONENTIAL)
    return "" if converts else Doubt.OTHER_UNIT


def _conversion(gate: Gate, metric: str, traits: Traits) -> tuple[float, str]:
    """Return the factor to the gate's unit and no unit, or 1 and the metric's unit where the gate states none."""
    wanted, unit = _unit_wanted_by(gate), _unit_of(gate, metric, traits)
    return (factor(unit, wanted) or 1.0, "") if wanted else (1.0, unit)


def _unit_wanted_by(gate: Gate) -> str:
    unit = getattr(gate, "unit", "")
    return normal(unit) if unit else ""


def _unit_of(gate: Gate, metric: str, traits: Traits) -> str:
    return normal(traits.unit, metric) or normal(gate.assume_unit or "")


def _all(selectors: Mapping[str, Selector]) -> Matches:
    checks = [(name, matcher(selector)) for name, selector in selectors.items()]

    def matches(point: Attributes, resource: Attributes) -> bool:
        return all(check(point.get(name, resource.get(name))) for name, check in checks)

    return matches
