"""Connected sync clients and what each was sent; a signal tells observers that one of them moved."""

from collections.abc import Callable
from dataclasses import dataclass, field

from services.flag_control.serving.store import FlagSet


class Signal:
    """Calls its subscribers, in order; it carries nothing, so that neither side knows the other."""

    def __init__(self) -> None:
        self._subscribers: list[Callable[[], None]] = []

    def subscribe(self, subscriber: Callable[[], None]) -> None:
        """Call `subscriber` at every `send` from now on."""
        self._subscribers.append(subscriber)

    def send(self) -> None:
        """Call every subscriber."""
        for subscriber in self._subscribers:
            subscriber()


@dataclass(eq=False)
class Stream:
    """One connected client.

    Attributes:
        selector: what it reads; family: language of its library.
        sent: the set that it was last sent; at: when, by the monotonic clock.
    """

    selector: str
    family: str = "unknown"
    sent: FlagSet | None = None
    at: float = 0.0


@dataclass
class Streams:
    """Every connected client; `moved` is sent when one was sent a set, or left."""

    moved: Signal = field(default_factory=Signal)
    connected: set[Stream] = field(default_factory=set)
