"""Kafka's AOT cache: trained once in a run of its own, it takes the start from three seconds to one."""

import hashlib
import shutil
import signal
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from penstock.errors import UnavailableError
from penstock.local.cache import cache_folder, locked
from penstock.local.kafka.broker import FLAGS, LocalKafka, Program
from penstock.local.kafka.java import Java
from penstock.local.processes import Watchdog
from penstock.local.progress import Narrator

FIRST = 25
"""The Java version that can write a cache by one option."""

_NEEDED_BYTES = 400_000_000


def trained(
    java: Java, jars: tuple[Path, ...], narrator: Narrator, watchdog: Watchdog | None = None, cache: Path | None = None
) -> Program:
    """Return the broker's program with its cache, training it if this Java and class path have none yet.

    Where training fails the program comes without it: Kafka then starts slower, and that is said.
    """
    folder = (cache or cache_folder()) / "aot"
    if java.version < FIRST:
        return Program(java, jars)
    path = folder / f"kafka-{_key(java, jars)}.aot"
    with locked(folder):
        if not path.exists():
            try:
                with narrator.step("preparing Kafka for quick starts (once, about 15 s)"):
                    _train(Program(java, jars), path, watchdog)
            except (UnavailableError, OSError) as error:
                narrator.warn(f"Kafka will start slower, its start cache could not be made: {error}")
                return Program(java, jars)
    return Program(java, jars, path)


def cache_file(java: Java, jars: tuple[Path, ...], cache: Path | None = None) -> Path | None:
    """Return the cache that fits, None if it is not trained."""
    path = (cache or cache_folder()) / "aot" / f"kafka-{_key(java, jars)}.aot"
    return path if path.exists() else None


def _key(java: Java, jars: tuple[Path, ...]) -> str:
    # The JVM checks its own build and the class path's files by name, size and time.
    stat = java.path.stat()
    files = [f"{jar}:{jar.stat().st_mtime_ns}" for jar in jars]
    return hashlib.sha256("\n".join([str(java.path), str(stat.st_size), *FLAGS, *files]).encode()).hexdigest()[:16]


def _train(program: Program, path: Path, watchdog: Watchdog | None) -> None:
    if shutil.disk_usage(path.parent).free < _NEEDED_BYTES:
        raise UnavailableError(f"less than {_NEEDED_BYTES / 1e6:.0f} MB free at {path.parent}")
    with TemporaryDirectory(dir=path.parent, prefix="training-") as aside:
        written = Path(aside) / "kafka.aot"
        kafka = LocalKafka(program, Path(aside) / "kafka", watchdog=watchdog)
        try:
            kafka.start(options=(f"-XX:AOTCacheOutput={written}",))
            # On SIGTERM the JVM ends and then writes the cache, which takes seconds.
            kafka.child.signal(signal.SIGTERM)
            kafka.child.wait(time.monotonic() + 60)
        finally:
            kafka.kill()
        if not written.exists():
            raise UnavailableError(f"Java wrote none; it said:\n{kafka.child.last_words(4)}")
        written.replace(path)
