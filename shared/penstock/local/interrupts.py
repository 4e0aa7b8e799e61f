"""Handles Ctrl-C and other signals, even where Python swallows an exception and between fork and record."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, *((signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ()))

INTERRUPTED = 130
"""Exit code, as shells have it, of what was ended before it had done its work."""

_asked = False


def stop_by_signals() -> None:
    """Let the signals that end a program raise KeyboardInterrupt from now on; call it in the main thread."""
    for number in SIGNALS:
        signal.signal(number, _ask)


def check() -> None:
    """Raise KeyboardInterrupt if a signal has asked for the end: call it in loops.

    What a handler raises is lost where Python cannot pass it on, such as in callbacks and destructors.
    """
    if _asked:
        raise KeyboardInterrupt


@contextmanager
def held_back() -> Iterator[None]:
    """Deliver signals at the end of the context only: a child that was just forked must be known before we stop."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {number: signal.signal(number, lambda number, _frame: came.append(number)) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in came:
            signal.raise_signal(number)


def _ask(_number: int, _frame: Any) -> None:
    global _asked
    _asked = True
    raise KeyboardInterrupt
