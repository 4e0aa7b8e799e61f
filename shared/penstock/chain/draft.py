"""A decision under construction: the changed state, and the events that one input leads to."""

from datetime import datetime
from typing import Any, Generic, TypeVar

import msgspec

from penstock import ids
from penstock.events import Event

S = TypeVar("S", bound=msgspec.Struct)
E = TypeVar("E", bound=Event)


class Draft(Generic[S]):
    """Collects the state changes and events of one input.

    Args:
        source: of the events; target: whose state it is.
        decided: how many events this decider has decided for the target before, as its state counts them.

    Attributes:
        state: of the target, after the events so far; cause: the input; events: decided, in order.
    """

    def __init__(self, source: str, target: str, state: S, cause: Event, decided: int = 0) -> None:
        self.source = source
        self.target = target
        self.state = state
        self.cause = cause
        self.events: list[Event] = []
        self._decided = decided

    @property
    def at(self) -> datetime:
        """When the input was received: the time that the decision goes by."""
        return self.cause.at

    @property
    def decided(self) -> int:
        """How many events are decided for the target with these, for the state to keep.

        Inputs of earlier versions, which did not count, leave it as it is.
        """
        return self._decided + (len(self.events) if self.cause.received is not None else 0)

    def put(self, **changes: Any) -> None:
        """Change fields of the state."""
        self.state = msgspec.structs.replace(self.state, **changes)

    def add(self, kind: type[E], /, **fields: Any) -> E:
        """Add an event and return it; the envelope follows from the input, but for the fields that are given."""
        envelope: dict[str, Any] = {
            "id": self._id_of(kind),
            "source": self.source,
            "target": self.target,
            "time": self.at,
            "cause": self.cause.id,
            "actor": self.cause.actor,
        }
        event = kind(**(envelope | fields))
        self.events.append(event)
        return event

    def _id_of(self, kind: type[Event]) -> str:
        """Return an id that the same decision has on every copy, and no other decision has.

        The count distinguishes what one input may cause twice: a command that is repeated after it was forgotten, a
        timer of two rollouts that is due at one instant, deploys of two sources under one id.
        """
        name = kind.model_fields["type"].default
        if self.cause.received is None:
            # Decided by an earlier version, and decided again in a replay: under the id that it has.
            return ids.derive(name, self.cause.id, self.target, len(self.events))
        return ids.derive(name, self.target, self.cause.source, self.cause.id, self._decided + len(self.events))
