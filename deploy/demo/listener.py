"""Receives the console's events of the demo's targets, in a thread that ends when it is closed."""

import queue
import threading
from collections.abc import Collection

from penstock.client import Client
from penstock.events import Event, from_json

_PATIENCE_S = 5.0


class Listener:
    """Follows one console's event stream, through lost connections, until `close`.

    Attributes:
        received: the events in their order; an error is the last thing received.
    """

    def __init__(self) -> None:
        self.received: queue.SimpleQueue[Event | Exception] = queue.SimpleQueue()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, server: str, targets: Collection[str]) -> None:
        """Listen to the console at `server`, for events of these targets."""
        self._thread = threading.Thread(target=self._listen, args=(server, targets), name="listener", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listen no more. Close it after the console has ended: until then it may wait for the console's next event."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join(_PATIENCE_S)

    @property
    def alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def _listen(self, server: str, targets: Collection[str]) -> None:
        try:
            with Client(server, sleep=self._pause) as client:
                for message in client.stream(since="1h"):
                    if self._closed.is_set():
                        return
                    if message.event.get("target") in targets:
                        self.received.put(from_json(message.event))
        except _ClosedError:
            return
        except Exception as error:
            # Whatever the error is, the thread that waits for events has to learn that none will come.
            self.received.put(error)

    def _pause(self, seconds: float) -> None:
        if self._closed.wait(seconds):
            raise _ClosedError


class _ClosedError(Exception):
    """Closed while it waited to connect again."""
