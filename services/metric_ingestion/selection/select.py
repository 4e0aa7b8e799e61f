"""From one OTLP request to one frame a watched target: only the points that a plan's gates ask for, in columns."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import ResourceMetrics

from penstock.targets import parse_target
from services.metric_ingestion.doors.otlp_messages import attributes
from services.metric_ingestion.selection.arrivals import Arrivals
from services.metric_ingestion.selection.match import ENVIRONMENT, Attributes, Matcher, half
from services.metric_ingestion.selection.points import points_of
from services.metric_ingestion.windows.frames import VERSION, Explicits, Exponentials, Frame, Hint, Numbers, Series
from services.metric_ingestion.windows.values import Explicit, Exponential, Number

AHEAD_NS = 600 * 10**9
"""A point further in the future than this is refused: its source's clock is wrong, and its window would never come."""

BEHIND_NS = 3600 * 10**9
"""A point older than this is refused with its reason: its window closed long ago."""

_MOST_CACHED = 50_000
"""Series remembered of a service for each of its targets."""

_MOST_PROBLEMS = 5
_MOST_POINTS = 5000
_MOST_CELLS = 400_000
"""Numbers of a frame: at nine bytes each at most, they and their names stay below Kafka's limit for a message."""


_Known = dict[tuple[Any, ...], tuple[tuple[Matcher, Series], ...]]


@dataclass
class Selection:
    """What a request holds for the watched targets.

    Attributes:
        frames: each with its target; rejected: malformed points left out; problems: the first few reasons, and
            warnings.
    """

    frames: list[tuple[str, Frame]] = field(default_factory=list)
    rejected: int = 0
    problems: list[str] = field(default_factory=list)

    def reject(self, where: str, what: str) -> None:
        """Count one point left out."""
        self.rejected += 1
        self.warn(where, what)

    def warn(self, where: str, what: str) -> None:
        """Keep one of the first few sentences for the response."""
        text = f"{where}: {what}"
        if len(self.problems) < _MOST_PROBLEMS and text not in self.problems:
            self.problems.append(text)


@dataclass
class _Builder:
    """A frame under construction."""

    matcher: Matcher
    rows: dict[int, int] = field(default_factory=dict)
    series: list[Series] = field(default_factory=list)
    shapes: dict[tuple[float, ...], int] = field(default_factory=dict)
    numbers: Numbers = field(default_factory=Numbers)
    explicits: Explicits = field(default_factory=Explicits)
    exponentials: Exponentials = field(default_factory=Exponentials)
    rejected: dict[str, int] = field(default_factory=dict)
    hints: dict[str, Hint] = field(default_factory=dict)
    points: int = 0
    cells: int = 0

    def add(self, series: Series, start: int, time: int, value: Number | Explicit | Exponential) -> None:
        # By identity: points of one key may differ in what they are good for; the selector keeps an object for each.
        row = self.rows.get(id(series))
        if row is None:
            row = self.rows[id(series)] = len(self.series)
            self.series.append(series)
        table: Any
        match value:
            case Explicit():
                table = self.explicits
                if value.bounds not in self.shapes:
                    self.cells += len(value.bounds)
                table.shape.append(self.shapes.setdefault(value.bounds, len(self.shapes)))
            case Exponential():
                table = self.exponentials
                table.scale.append(value.scale)
                table.zero.append(value.zero)
                table.offset.append(value.offset)
            case _:
                table = self.numbers
                table.value.append(value)
        table.series.append(row)
        table.start.append(start)
        table.time.append(time)
        self.points += 1
        if isinstance(value, (Explicit, Exponential)):
            self.cells += len(value.counts)
            table.count.append(value.count)
            table.sum.append(value.sum)
            table.counts.append(value.counts)

    @property
    def full(self) -> bool:
        return self.points >= _MOST_POINTS or self.cells >= _MOST_CELLS

    def reject(self, reason: str) -> None:
        """Count a point of this target that is left out."""
        self.rejected[reason] = self.rejected.get(reason, 0) + 1

    def frame(self, received: int, trace: str) -> Frame:
        watched = self.matcher.watched
        return Frame(
            VERSION,
            received,
            self.matcher.length,
            watched.plan_hash,
            trace,
            tuple(self.series),
            tuple(self.shapes),
            self.numbers,
            self.explicits,
            self.exponentials,
            self.rejected,
            hints=self.hints,
        )


class Selector:
    """The compiled plans of all watched targets."""

    def __init__(self, matchers: Iterable[Matcher], arrivals: Arrivals | None = None) -> None:
        self._arrivals = Arrivals() if arrivals is None else arrivals
        self._by_service: dict[str, list[Matcher]] = {}
        for matcher in matchers:
            self._by_service.setdefault(matcher.service, []).append(matcher)
        self._known: dict[str, _Known] = {}

    def put(self, target: str, matcher: Matcher | None) -> None:
        """Replace what is watched of a target, None for nothing; what is known of other services stays."""
        service = parse_target(target)[1]
        others = [known for known in self._by_service.get(service, ()) if known.target != target]
        # In this order: a selection under way in another thread then never keeps old matchers under the new ones.
        self._by_service[service] = others if matcher is None else [*others, matcher]
        self._known.pop(service, None)

    def select(
        self, request: ExportMetricsServiceRequest, received: int, trace: str = "", lost: Iterable[str] = ()
    ) -> Selection:
        """Return the frames of a request that arrived at `received` (Unix nanoseconds), without what was `lost`."""
        selection = Selection()
        for what in lost:
            selection.reject("metrics request", what)
        builders: dict[str, _Builder] = {}
        for resource_metrics in request.resource_metrics:
            self._select_resource(resource_metrics, received, trace, selection, builders)
        selection.frames += [(target, builder.frame(received, trace)) for target, builder in builders.items()]
        return selection

    def _select_resource(
        self, metrics: ResourceMetrics, received: int, trace: str, selection: Selection, builders: dict[str, _Builder]
    ) -> None:
        resource = attributes(metrics.resource.attributes)
        service = resource.get("service.name", "")
        if not self._by_service.get(service):
            return
        known = self._known.setdefault(service, {})
        matchers = self._matchers(resource, selection)
        self._note(resource, metrics, received, builders)
        wanted = frozenset[str]().union(*(matcher.metrics for matcher in matchers))
        if not wanted:
            return
        identity = _hash("\x1e".join(f"{key}\x1f{value}" for key, value in sorted(resource.items())))
        for scope in metrics.scope_metrics:
            for metric in scope.metrics:
                name = metric.name
                if name not in wanted:
                    continue
                origin = (identity, scope.scope.name, name)
                watching = [matcher for matcher in matchers if name in matcher.metrics]

                def reject(reason: str, why: str, watching: list[Matcher] = watching, name: str = name) -> None:
                    selection.reject(name, why)
                    for matcher in watching:
                        _builder(builders, matcher).reject(reason)

                for traits, raw, value in points_of(
                    metric, partial(reject, "malformed"), partial(selection.warn, name)
                ):
                    if why := _far_off(raw.time_unix_nano, received):
                        reject(*why)
                        continue
                    point = attributes(raw.attributes)
                    key = (*origin, traits, tuple(point.items()))
                    for matcher, series in self._series(known, key, watching, point, resource):
                        builder = _builder(builders, matcher)
                        if builder.full:
                            selection.frames.append((matcher.target, builder.frame(received, trace)))
                            builder = builders[matcher.target] = _Builder(matcher)
                        builder.add(series, raw.start_time_unix_nano, raw.time_unix_nano, value)

    def _note(
        self, resource: Attributes, metrics: ResourceMetrics, received: int, builders: dict[str, _Builder]
    ) -> None:
        """Remember what arrives of a watched service, and add what it explains to the frames of its targets."""
        of_service = self._by_service.get(resource.get("service.name", ""), ())
        if not of_service:
            return
        environment = next((resource[name] for name in ENVIRONMENT if name in resource), "")
        known = self._arrivals.names(resource["service.name"], environment)
        for scope in metrics.scope_metrics:
            for metric in scope.metrics:
                if metric.name not in known:
                    self._arrivals.note(known, metric)
        for matcher in of_service:
            if hints := self._arrivals.hints(matcher, received):
                _builder(builders, matcher).hints.update(hints)

    def _matchers(self, resource: Attributes, selection: Selection) -> list[Matcher]:
        of_service = self._by_service.get(resource.get("service.name", ""), [])
        if not of_service:
            return []
        environment = next((resource[name] for name in ENVIRONMENT if name in resource), None)
        if environment is None:
            selection.warn(
                resource["service.name"],
                f"has a plan, but its resource does not state {ENVIRONMENT[0]}; its points are left out",
            )
        return [matcher for matcher in of_service if matcher.environment == environment]

    def _series(
        self, known: _Known, key: tuple[Any, ...], matchers: list[Matcher], point: Attributes, resource: Attributes
    ) -> tuple[tuple[Matcher, Series], ...]:
        found = known.get(key)
        if found is None:
            if len(known) >= _MOST_CACHED * max(1, len(matchers)):
                # The oldest half: without it every point of a service beyond the limit would be classified again.
                for old in list(islice(known, len(known) // 2)):
                    known.pop(old, None)
            found = known[key] = tuple(_classify(key, matchers, point, resource))
            for matcher, series in found:
                for part in series.parts:
                    self._arrivals.match(matcher.target, part.gate, matcher.watched.plan_hash)
        return found


def _builder(builders: dict[str, _Builder], matcher: Matcher) -> _Builder:
    builder = builders.get(matcher.target)
    if builder is None:
        builder = builders[matcher.target] = _Builder(matcher)
    return builder


def _far_off(time: int, received: int) -> tuple[str, str] | None:
    """Return the reason and the sentence for a point whose time cannot be right, None for any other."""
    if time > received + AHEAD_NS:
        return "ahead", f"a point lies {_span(time - received)} in the future: look at the clock of its source"
    if time < received - BEHIND_NS:
        what = "its window closed long ago; look at the clock of its source"
        return "behind", f"a point lies {_span(received - time)} in the past: {what}"
    return None


def _span(nanoseconds: int) -> str:
    hours = nanoseconds / 3600e9
    if hours < 2:
        return f"{hours * 60:.0f} minutes"
    return f"{hours:.0f} hours" if hours < 48 else f"{hours / 24:.0f} days"


def _classify(
    key: tuple[Any, ...], matchers: list[Matcher], point: Attributes, resource: Attributes
) -> Iterator[tuple[Matcher, Series]]:
    identity, scope, metric, traits, _ = key
    pairs = sorted(point.items())
    parts = (identity, scope, metric, traits.form, traits.temporality, *(f"{name}\x1f{value}" for name, value in pairs))
    name = _hash("\x1e".join(parts))
    source = _hash(f"{identity}") if "service.instance.id" not in resource else _hash(resource["service.instance.id"])
    instance = resource.get("service.instance.id", "")[:64] or source
    for matcher in matchers:
        place = matcher.place(point, resource)
        parts = matcher.parts(metric, traits, point, resource) if place is not None else ()
        if place is not None and parts:
            stated, unmatched = half(point, resource), matcher.unmatched(metric, point, resource)
            common = (name, source, place.cohort, stated, traits.temporality, parts)
            yield matcher, Series(*common, place.outside, place.value, unmatched, instance)


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
