"""The subscribers of an event: those that the file, the rollout's plan, or the event itself names."""

from penstock.errors import PlanError
from penstock.events import RollbackEscalated, RolloutAnnounced, RolloutHeld
from penstock.plan import load_plan
from penstock.plan.model import Message
from penstock.subscribers import Subscribers, matches
from services.notification.recorded import Deliverable


class Audience:
    """Knows the file, and the `communication` of every announced plan."""

    def __init__(self, subscribers: Subscribers) -> None:
        self._subscribers = subscribers
        self._messages: dict[str, tuple[Message, ...]] = {}

    def remember(self, announced: RolloutAnnounced) -> None:
        """Remember the subscribers that the plan of this rollout names; a plan that cannot be read names nobody."""
        try:
            communication = load_plan(announced.plan_text).communication
        except PlanError:
            return
        if communication:
            self._messages[announced.rollout] = communication

    def of(self, event: Deliverable) -> tuple[str, ...]:
        """Return the subscribers of an event, each once; a name in a plan may be missing from the file."""
        names = [subscriber.name for subscriber in self._subscribers.all() if subscriber.wants(event)]
        messages = self._messages.get(event.rollout, ()) if event.rollout else ()
        names += [message.to for message in messages if matches(message.events, event.type)]
        if isinstance(event, RollbackEscalated | RolloutHeld):
            names += event.to
        return tuple(dict.fromkeys(names))
