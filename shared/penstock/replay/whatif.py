"""What if another plan had been in force: the recorded inputs, decided again with it. Pure; it emits nothing.

The windows are those that were measured, so gates are matched by name, and a smaller exposure shows no smaller harm.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import SequenceMatcher

from penstock import ids
from penstock.chain import Decide, Document
from penstock.chain.replica import OBSERVATION, TICK
from penstock.errors import PermanentError
from penstock.events import DeployAnnounced, Event, TimerFired, to_json
from penstock.replay.history import DECIDED_BY, History, Step, events_of, fold_history, select
from penstock.topics import BY_NAME, log_of


@dataclass(frozen=True)
class Received:
    """An input from outside the deciders: its topic, the service that alone saw it (observations), and the event."""

    source: str
    event: Event
    service: str | None = None


@dataclass(frozen=True)
class Turn:
    """A decision of rollout control, reduced to what people compare: when, what, where, why."""

    time: str
    type: str
    stage: str
    why: str

    @property
    def words(self) -> tuple[str, str, str]:
        """What makes two decisions the same one, taken at whatever time."""
        return self.type, self.stage, self.why


@dataclass(frozen=True)
class Departure:
    """Where the two ways part: what was decided, and what would have been; None for nothing."""

    recorded: Turn | None
    instead: Turn | None


class World:
    """Deciders that receive each other's decisions at once.

    Attributes:
        said: what each service decided, in order.
    """

    def __init__(self, target: str, deciders: Mapping[str, Decide], documents: Mapping[str, Document]) -> None:
        self.said: list[tuple[str, Event]] = []
        self._target = target
        self._deciders = deciders
        self._documents = dict(documents)
        self._fired: set[tuple[str, str, str]] = set()

    def feed(self, received: Received) -> None:
        """Fire the timers that are due before it, then let the input and all that follows from it be decided."""
        while (timer := self._due(received.event.at)) is not None:
            self._run(timer)
        self._run(received)

    def _run(self, first: Received) -> None:
        queue: deque[tuple[str, str | None, tuple[Event, ...]]] = deque([(first.source, first.service, (first.event,))])
        while queue:
            source, only, events = queue.popleft()
            for service in [only] if only else self._consumers(source):
                decided = self._decide(service, events)
                if decided:
                    queue.append((log_of(service).name, None, decided))

    def _consumers(self, source: str) -> list[str]:
        topic = BY_NAME[source]
        return [name for name in self._deciders if name in topic.consumers and name != topic.producer]

    def _decide(self, service: str, events: Iterable[Event]) -> tuple[Event, ...]:
        after, decided = self._documents.get(service, {}), list[Event]()
        try:
            for event in events:
                decision = self._deciders[service](self._target, after, event)
                after = decision.document
                decided.extend(decision.events)
        except PermanentError:
            return ()
        self._documents[service] = after
        self.said += [(service, event) for event in decided]
        return tuple(decided)

    def _due(self, now: datetime) -> Received | None:
        armed = sorted(
            (datetime.fromisoformat(due), service, name, due)
            for service, document in self._documents.items()
            for name, due in document.get("timers", {}).items()
            if (service, name, due) not in self._fired and datetime.fromisoformat(due) <= now
        )
        if not armed:
            return None
        moment, service, name, due = armed[0]
        self._fired.add((service, name, due))
        fired = TimerFired(
            id=ids.derive("timer.fired", self._target, name, moment.isoformat()),
            source=f"/penstock/{service}",
            target=self._target,
            time=moment,
            timer=name,
            due=moment,
        ).received_at(moment)
        return Received(TICK, fired, service)


def what_if(history: History, rollout: str, deciders: Mapping[str, Decide], plan_text: str) -> list[Departure]:
    """Return where the decisions of rollout control depart from the record under another plan, in order.

    Raises:
        PenstockError: as `penstock.replay.replay`.
    """
    chosen = select(fold_history(history), rollout)
    own = chosen["rollout-log"]
    known = {log: service for log, service in DECIDED_BY.items() if service in deciders}
    documents = {service: chosen[log][0].before for log, service in known.items() if chosen.get(log)}
    world = World(own[0].accepted.target, deciders, documents)
    for received in inputs_of(chosen):
        world.feed(_under(received, rollout, plan_text))
    recorded = [_turn(event) for step in own for event in step.record.events if event.get("rollout") == rollout]
    instead = [
        _turn(to_json(event))
        for service, event in world.said
        if service == "rollout_control" and event.rollout == rollout
    ]
    return list(departures(recorded, instead))


def inputs_of(chosen: Mapping[str, list[Step]]) -> list[Received]:
    """Return what came from outside the deciders, each once, in order of time; timers are left out, they follow."""
    found: dict[tuple[str, object], Received] = {}
    for log, service in DECIDED_BY.items():
        for step in chosen.get(log, []):
            for entry in step.record.inputs:
                if entry.source in DECIDED_BY or entry.source == TICK:
                    continue
                seen = entry.source == OBSERVATION
                for place, event in enumerate(events_of(entry)):
                    key = event.id if seen else (entry.offset, place)
                    received = Received(entry.source, event, service if seen else None)
                    found.setdefault((entry.source, key), received)
    return sorted(found.values(), key=lambda received: received.event.at)


def departures(recorded: Sequence[Turn], instead: Sequence[Turn]) -> Iterator[Departure]:
    """Yield the decisions that differ; those with the same words at another time count as differing."""
    alike = SequenceMatcher(a=[turn.words for turn in recorded], b=[turn.words for turn in instead], autojunk=False)
    for tag, a, b, c, d in alike.get_opcodes():
        if tag == "equal":
            pairs = zip(recorded[a:b], instead[c:d], strict=True)
            yield from (Departure(one, other) for one, other in pairs if one != other)
        else:
            yield from (Departure(turn, None) for turn in recorded[a:b])
            yield from (Departure(None, turn) for turn in instead[c:d])


def _under(received: Received, rollout: str, plan_text: str) -> Received:
    event = received.event
    if isinstance(event, DeployAnnounced) and rollout in _ids_of(event):
        changed = event.model_copy(update={"plan_text": plan_text, "plan_name": None})
        return Received(received.source, changed, received.service)
    return received


def _ids_of(deploy: DeployAnnounced) -> set[str]:
    """Return the ids that versions have given the rollout of a deploy."""
    named = ((), (deploy.target,))
    return {ids.rollout_id(deploy.source, deploy.id, *target) for target in named}


def _turn(event: Mapping[str, object]) -> Turn:
    ground = event.get("ground")
    why = str(ground.get("why", "")) if isinstance(ground, dict) else ""
    return Turn(str(event["time"]), str(event["type"]), str(event.get("stage") or ""), why)
