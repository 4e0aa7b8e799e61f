"""`python -m services [--after-kafka] [NAME...]`: all services in one process, or the named ones."""

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Callable

from penstock.errors import PenstockError
from penstock.settings import Settings, load_settings
from services.runtime.kafka.waiting import wait_for_broker
from services.runtime.process.logs import configure
from services.runtime.process.open_files import raise_open_files
from services.runtime.process.process import NAMES, load, run

AFTER_KAFKA = "--after-kafka"
_KAFKA_STARTS_S = 60.0


def main(arguments: list[str]) -> int:
    """Run the named services (all without names) until SIGTERM or SIGINT; return the exit status.

    With `--after-kafka` among the arguments, what starts beside Kafka gives it a minute to come up. Without, flag
    control at once serves the flags that it served last.
    """
    beside = AFTER_KAFKA in arguments
    arguments = [argument for argument in arguments if argument != AFTER_KAFKA]
    unknown = [name for name in arguments if name not in NAMES]
    if unknown:
        print(f"no service called {', '.join(unknown)}; there are: {', '.join(NAMES)}", file=sys.stderr)
        return 2
    try:
        settings = load_settings(os.environ)
    except PenstockError as error:
        print(error, file=sys.stderr)
        return 2
    names = tuple(arguments) or NAMES
    # Until the loop listens to signals there is nothing to end in order: they end the process at once.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    load(names)
    if beside:
        wait_for_broker(settings.kafka, time.monotonic() + _KAFKA_STARTS_S)
    raise_open_files()
    configure(settings)
    for name in ("aiokafka", "services.runtime.kafka.waiting", "services.runtime.process.process"):
        logging.getLogger(name).addFilter(Seldom(time.monotonic))
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_run(names, settings))
    except PenstockError as error:
        print(error, file=sys.stderr)
        return 1


class Seldom(logging.Filter):
    """Lets the same words pass once in ten seconds: while Kafka is away its client would say so twice a second."""

    def __init__(self, clock: Callable[[], float], seconds: float = 10.0) -> None:
        super().__init__()
        self._clock, self._seconds = clock, seconds
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record passes."""
        words, now = record.getMessage(), self._clock()
        self._said = {each: at for each, at in self._said.items() if now - at < self._seconds}
        passes = words not in self._said
        self._said.setdefault(words, now)
        return passes


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's, for serving flags at its speed; asyncio's own where uvloop does not exist (Windows)."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _run(names: tuple[str, ...], settings: Settings) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return await run(names, settings, stop)


if __name__ == "__main__":
    status = main(sys.argv[1:])
    # Everything is closed by now; taking the interpreter apart would take twice as long as all of that.
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
