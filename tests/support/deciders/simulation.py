"""All deciders of a stack in memory by a simulated clock: timers fire, steps are claimed, and everybody reads along."""

from datetime import datetime, timedelta

from penstock import ids
from penstock.events import Event, ExposureChanged, FlagServed, Saw, StageJudged, WindowClosed, from_json, to_json
from penstock.events.cloudevents import from_kafka, to_kafka
from penstock.subscribers import Subscribers
from penstock.topics import PUBLIC, Kind, carriers_of
from services.console.read_models.projection import Projection
from services.flag_control.decide import decide as flags
from services.notification.audience import Audience
from services.rollback_execution.decide import decide as execute
from services.rollback_execution.errands import errand_of, report
from services.rollback_execution.state import load
from services.runtime.clock.timers import Timers
from tests.support.deciders.pipeline import Node
from tests.support.deciders.slice import pipeline
from tests.support.metrics.windows import moment

EXECUTION = "rollback_execution"
PUBLIC_NAMES = frozenset(topic.name for topic in PUBLIC)


class Simulation:
    """The deciders, their timers, what their shells do beside deciding, and the console as a reader.

    Attributes:
        now: the simulated time; console: what the console knows; published: every event on a public topic, in order.
        serving: whether flag control's instances report that clients were served.
        answer: what the executor of a webhook step sees; None while it does not answer.
        executor: the copy of rollback execution that is alive.
    """

    def __init__(self, start: datetime | None = None) -> None:
        self.now = start or moment()
        self.pipeline = pipeline(
            Node("flag_control", "flag-log", flags, ("commands",), ("rollout-log",)),
            Node(EXECUTION, "rollback-log", execute, ("flag-served",), ("rollout-log", "flag-log", "window-log")),
            clock=lambda: self.now,
        )
        self.console = Projection()
        self.published: list[Event] = []
        self.serving = True
        self.answer: Saw | None = Saw.SUCCEEDED
        self.executor = "rollback-0"
        self._timers = {name: Timers(f"/penstock/{name}") for name in self.pipeline.nodes}
        self._audience = Audience(Subscribers(()))
        self._read = 0

    def publish(self, topic: str, *events: Event) -> None:
        """Publish events on a plain topic now, and let all that follows happen."""
        for event in events:
            self.pipeline.publish(topic, event)
            self._show(topic, event)
        self.settle()

    def close(self, *windows: WindowClosed) -> None:
        """Append windows now, and let all that follows happen."""
        for window in windows:
            self.pipeline.close_window(window)
            self._show("metric-windows", window)
        self.settle()

    def advance(self, seconds: float) -> None:
        """Let time pass, second by second where a timer is due."""
        end = self.now + timedelta(seconds=seconds)
        while self.now < end:
            self.now = min(end, self.now + timedelta(seconds=1))
            self.fire()

    def fire(self) -> None:
        """Fire the timers that are due now, until none is left that does."""
        while sum(self._fire(name) for name in self.pipeline.nodes):
            self.settle()

    def settle(self) -> None:
        """Deliver everything, and do what the shells do for the accepted state."""
        while True:
            self.pipeline.settle()
            self._read_along()
            if not self._claim():
                break
        for name, node in self.pipeline.nodes.items():
            for target, document in node.replica.fold.documents.items():
                self._timers[name].note(target, document)

    def counts(self) -> dict[str, int]:
        """Return the number of records in each log."""
        return {name: len(records) for name, records in self.pipeline.logs.items()}

    def _fire(self, name: str) -> bool:
        due = list(self._timers[name].due(self.now))
        for event in due:
            self.pipeline.tick(name, event)
        return bool(due)

    def _claim(self) -> bool:
        did = False
        for target, document in self.pipeline.nodes[EXECUTION].replica.fold.documents.items():
            state = load(document)
            errand = errand_of(state, self.executor)
            if errand is None or state.running is None:
                continue
            saw = Saw.CLAIMED if errand.what == "claim" else self.answer
            if saw is None:
                continue
            observed = report(
                target, state.running, self.executor, self.now, saw, 200 if saw is Saw.SUCCEEDED else None
            )
            self.pipeline.observe(EXECUTION, observed)
            did = True
        return did

    def _read_along(self) -> None:
        fresh = self.pipeline.said[self._read :]
        self._read = len(self.pipeline.said)
        for event in fresh:
            for topic in carriers_of(event.type):
                if topic.kind is Kind.PUBLIC:
                    self._show(topic.name, event)
            if isinstance(event, ExposureChanged) and self.serving:
                self.publish_served(event)

    def publish_served(self, change: ExposureChanged) -> None:
        """Publish that one instance has sent this version to all of its clients."""
        served = FlagServed(
            id=ids.derive("served", change.id),
            source="/penstock/flag_control",
            target=change.target,
            time=self.now,
            instance="flags-0",
            version=change.version,
            revision=change.revision,
            streams=3,
            served=3,
            elapsed_ms=8.0,
        )
        self.pipeline.publish("flag-served", served)
        self._show("flag-served", served)

    def _show(self, topic: str, event: Event) -> None:
        """Let the readers of a public topic have the event as it travels."""
        _, value, headers = to_kafka(event)
        read = from_kafka(value, list(headers))
        assert to_json(read) == to_json(event)
        assert from_json(to_json(event)) == read
        if topic not in PUBLIC_NAMES:
            return
        self.published.append(read)
        entry = self.console.receive(topic, 0, len(self.published), read.received_at(self.now))
        if not isinstance(event, WindowClosed | StageJudged) and entry is not None:
            self._audience.of(read)
