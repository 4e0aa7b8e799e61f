"""Connected sync clients and what each was sent; a signal tells observers that one of them moved."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from services.flag_control.serving.store import FlagSet

_MOST_CLOSED = 1000


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
        writing_since: when the write that is under way started, None between writes.
        closed_at: when it was closed because it read nothing for too long, None while it is open.
    """

    selector: str
    family: str = "unknown"
    sent: FlagSet | None = None
    at: float = 0.0
    writing_since: float | None = None
    closed_at: float | None = None


@dataclass
class Streams:
    """Every connected client; `moved` is sent when one was sent a set, or left.

    Attributes:
        closed: those that were closed lately because they read nothing, oldest first.
    """

    moved: Signal = field(default_factory=Signal)
    connected: set[Stream] = field(default_factory=set)
    closed: deque[Stream] = field(default_factory=lambda: deque(maxlen=_MOST_CLOSED))

    def close_stuck(self, now: float, seconds: float) -> int:
        """Give up the streams whose write is under way for longer than `seconds`; return how many.

        Each is ended with a status as soon as its client reads again: gRPC sends nothing behind an unread message.
        """
        stuck = [one for one in self.connected if one.writing_since is not None and now - one.writing_since > seconds]
        for stream in stuck:
            stream.closed_at = now
            self.connected.discard(stream)
            self.closed.append(stream)
        if stuck:
            self.moved.send()
        return len(stuck)
