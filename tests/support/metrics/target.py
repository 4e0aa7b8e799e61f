"""One target of metric ingestion in memory: exports in, the windows that it tells out."""

from collections.abc import Iterable

import msgspec

from penstock.events import Cohort, WindowClosed, WindowsRefused
from services.metric_ingestion.selection.match import Matcher
from services.metric_ingestion.selection.select import Selector
from services.metric_ingestion.windows.closing import apply_document, document_for_plan, steps
from services.metric_ingestion.windows.target import TargetState
from tests.support.metrics.ingestion import watched
from tests.support.metrics.otlp import RESOURCE, SECOND, Export, request, variant
from tests.support.plans import TARGET

LATENESS = 2 * SECOND

PLAN = """\
version: 1
name: banner
target: {environment: staging, service: shop, flag: banner}
owners: [team-shop]
windows: {length: 1s}
gates:
  errors: {kind: ratio, metric: http.server.request.duration, bad: {http.response.status_code: "5*"}}
  p99: {kind: quantile, metric: http.server.request.duration, quantile: 0.99}
  orders: {kind: count, metric: orders}
  memory: {kind: gauge, metric: memory}
stages:
  - {name: canary, exposure: 25%, bake: {min: 8, max: 40}}
"""


class Target:
    """One target fed with exports; time is in seconds from a round moment."""

    began = 1_800_000_000

    def __init__(self, text: str = PLAN, lateness: int = LATENESS) -> None:
        self.state = TargetState()
        self.lateness = lateness
        plan = watched(text)
        self.selector = Selector([Matcher(plan)])
        apply_document(self.state, document_for_plan(self.state, plan.plan, plan.plan_hash, self.at(0)), ())
        self.told: list[WindowClosed | WindowsRefused] = []

    def watch(self, text: str, version: str) -> None:
        """Take points from here on with this version as the canary."""
        self.selector = Selector([Matcher(watched(text, version=version))])

    def at(self, seconds: float) -> int:
        return self.began * SECOND + round(seconds * SECOND)

    def adopt(self, text: str, plan_hash: str, seconds: float) -> None:
        """Put another plan in force."""
        plan = watched(text)
        self.selector = Selector([Matcher(plan)])
        apply_document(self.state, document_for_plan(self.state, plan.plan, plan_hash, self.at(seconds)), ())

    def export(self, seconds: float, *exports: Export, late: float = 0.0, door: str = "", low: int = 0) -> None:
        """Receive exports that arrive at `seconds` (plus `late`) by a door that has read up to `low`."""
        selection = self.selector.select(request(*exports), self.at(seconds + late))
        for target, frame in selection.frames:
            assert target == TARGET
            self.state.add_frame(msgspec.structs.replace(frame, door=door, low=low))
        self._tell(None)

    def traffic(
        self, seconds: float, canary: int = 1, baseline: int = 4, instance: str = "shop-1", covering: float = 1
    ) -> None:
        """Take an export of requests."""
        self.export(seconds, self.requests(seconds, canary, baseline, instance, covering))

    def requests(
        self, seconds: float, canary: int = 1, baseline: int = 4, instance: str = "shop-1", covering: float = 1
    ) -> Export:
        export = self.new(seconds, instance, covering)
        for name, count in (("on", canary), ("off", baseline)):
            if count:
                export.histogram((count, 0, 0), variant(name, **{"http.response.status_code": 200}))
        return export

    def new(self, seconds: float, instance: str = "shop-1", covering: float = 1) -> Export:
        return Export(self.at(seconds), self.at(seconds - covering), {**RESOURCE, "service.instance.id": instance})

    def decide(self) -> None:
        """Close what the points received so far have made due."""
        self._tell(None)

    def clock(self, seconds: float) -> None:
        self._tell(self.at(seconds))

    def _tell(self, now: int | None) -> None:
        for step in steps(self.state, TARGET, self.lateness, now):
            self.told.extend(step.events)  # type: ignore[arg-type]

    @property
    def windows(self) -> list[WindowClosed]:
        return [event for event in self.told if isinstance(event, WindowClosed)]


def totals(windows: Iterable[WindowClosed], cohort: Cohort) -> list[float | None]:
    found = [window.measures.get(cohort, {}).get("errors") for window in windows]
    return [None if measure is None else measure.total for measure in found]  # type: ignore[union-attr]
