"""Records what arrives of each service, whether a plan asks for it or not: it explains a metric that never arrives."""

from difflib import get_close_matches
from typing import Any

from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from services.metric_ingestion.selection.match import Matcher
from services.metric_ingestion.windows.frames import Hint

_MOST_SERVICES = 2000
_MOST_NAMES = 500
_MOST_ATTRIBUTES = 20
_SHOWN = 5
_EVERY_NS = 10**9


class Arrivals:
    """Names, units and attributes seen by service and environment; kept over changes of plans, and bounded."""

    def __init__(self) -> None:
        self._metrics: dict[tuple[str, str], dict[str, tuple[str, tuple[str, ...]]]] = {}
        self._environments: dict[str, set[str]] = {}
        self._matched: set[tuple[str, str, str]] = set()
        self._asked: dict[str, int] = {}

    def names(self, service: str, environment: str) -> dict[str, tuple[str, tuple[str, ...]]]:
        """Return what is known of a service in an environment: metric -> unit and names of attributes."""
        key = (service, environment)
        found = self._metrics.get(key)
        if found is None:
            found = {}
            if len(self._metrics) < _MOST_SERVICES:
                self._metrics[key] = found
                self._environments.setdefault(service, set()).add(environment)
        return found

    def note(self, known: dict[str, tuple[str, tuple[str, ...]]], metric: Metric) -> None:
        """Remember a metric that is not known yet."""
        if len(known) >= _MOST_NAMES:
            return
        form = metric.WhichOneof("data")
        points: Any = getattr(metric, form).data_points if form else ()
        attributes = sorted({pair.key for point in points[:_MOST_ATTRIBUTES] for pair in point.attributes})
        known[metric.name] = (metric.unit, tuple(attributes[:_MOST_ATTRIBUTES]))

    def match(self, target: str, gate: str, plan: str) -> None:
        """Record that points arrived for a gate of a plan."""
        self._matched.add((target, gate, plan))

    def hints(self, matcher: Matcher, received: int) -> dict[str, Hint]:
        """Return hints for gates without any points, at most once a second for a target."""
        watched = matcher.watched
        asked = self._asked.setdefault(matcher.target, received)
        missing = {
            name: gate.metric
            for name, gate in watched.plan.gates.items()
            if (matcher.target, name, watched.plan_hash) not in self._matched
        }
        if not missing or received - asked < _EVERY_NS:
            return {}
        self._asked[matcher.target] = received
        known = self.names(matcher.service, matcher.environment)
        others = sorted(self._environments.get(matcher.service, set()) - {matcher.environment})[:_SHOWN]
        return {gate: _hint(metric, known, tuple(others)) for gate, metric in missing.items()}


def _hint(metric: str, known: dict[str, tuple[str, tuple[str, ...]]], environments: tuple[str, ...]) -> Hint:
    if metric in known:
        unit, attributes = known[metric]
        return Hint(metric, (_with_unit(metric, unit),), attributes, environments)
    # The same name is written with dots, with underscores, and with its unit or `total` at the end.
    plain = {name.replace("_", ".").lower(): name for name in known}
    near = get_close_matches(metric.replace("_", ".").lower(), plain, n=_SHOWN, cutoff=0.55)
    names = [plain[name] for name in near] or sorted(known)[:_SHOWN]
    attributes = known[names[0]][1] if near else ()
    return Hint(metric, tuple(_with_unit(name, known[name][0]) for name in names), attributes, environments)


def _with_unit(name: str, unit: str) -> str:
    return f"{name} [{unit}]" if unit else name
