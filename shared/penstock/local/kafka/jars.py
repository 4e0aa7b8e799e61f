"""Kafka's jars: fetched once by `jgo` from the Maven repository, taken only if their SHA-256 is the committed one."""

import errno
import hashlib
import logging
import os
import shutil
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from queue import Empty, SimpleQueue
from tempfile import TemporaryDirectory
from threading import Thread

from penstock.errors import CorruptError, UnavailableError
from penstock.local.cache import cache_folder, locked
from penstock.local.progress import Narrator

LIST = Path(__file__).with_name("kafka_jars.sha256")
"""In the form of sha256sum, paths as in a Maven repository: `cd ~/.cache/penstock/jars && sha256sum -c` takes it."""

VERSION = "4.4.0"
"""Kafka's version; `tests/unit` holds the list against it."""

_TOTAL_BYTES = 44_581_600
_AT_ONCE = 4
_Took = Callable[[int], None]
Fetch = Callable[["Jar", Path, _Took], Path]
"""Fetches one jar into a folder and returns its file; reports the bytes as they arrive."""


@dataclass(frozen=True)
class Jar:
    """One line of the list."""

    sha256: str
    path: PurePosixPath

    @property
    def coordinate(self) -> tuple[str, str, str]:
        """Group, artifact and version."""
        return ".".join(self.path.parts[:-3]), self.path.parts[-3], self.path.parts[-2]

    def is_in(self, folder: Path) -> bool:
        """Return whether the file is there and is the right one."""
        try:
            with (folder / self.path).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == self.sha256
        except OSError:
            return False


def listed(path: Path = LIST) -> tuple[Jar, ...]:
    """Return the jars of the committed list, in class path order."""
    lines = (line.split() for line in path.read_text().splitlines())
    return tuple(Jar(digest, PurePosixPath(name)) for digest, name in lines)


def kafka_jars(narrator: Narrator, cache: Path | None = None, fetch: Fetch | None = None) -> tuple[Path, ...]:
    """Return the class path of Kafka, every file checked; fetches those that are missing or damaged.

    Raises:
        UnavailableError: the Maven repository cannot be reached, or the disk is full.
        CorruptError: a fetched jar is not the one of the list.
    """
    folder = (cache or cache_folder()) / "jars"
    with locked(folder):
        missing = [jar for jar in listed() if not jar.is_in(folder)]
        if missing:
            _fetch_all(missing, folder, narrator, fetch or _by_jgo)
    return tuple(folder / jar.path for jar in listed())


def missing_jars(cache: Path | None = None) -> int:
    """Return how many jars of the list are not in the cache, or are damaged there."""
    folder = (cache or cache_folder()) / "jars"
    return sum(not jar.is_in(folder) for jar in listed())


def _fetch_all(missing: list[Jar], folder: Path, narrator: Narrator, fetch: Fetch) -> None:
    what = f"fetching Kafka {VERSION} ({len(missing)} jars) into {folder}"
    size = _TOTAL_BYTES * len(missing) // len(listed())
    # Fetched aside and moved when checked: a file in the cache is whole, whenever we are killed.
    with (
        _explained(folder),
        _machines_certificates(),
        TemporaryDirectory(dir=folder, prefix="fetching-", ignore_cleanup_errors=True) as aside,
        narrator.step(what),
        narrator.transfer("Kafka", size) as took,
    ):
        _each(missing, lambda jar: _take(jar, fetch(jar, Path(aside), took), folder))


def _each(jars: list[Jar], work: Callable[[Jar], None]) -> None:
    # Not a thread pool, which waits for its threads: Ctrl-C must end a download that hangs.
    todo, done = SimpleQueue[Jar](), SimpleQueue[Exception | None]()
    for jar in jars:
        todo.put(jar)

    def worker() -> None:
        with suppress(Empty):
            while True:
                jar = todo.get_nowait()
                try:
                    work(jar)
                    done.put(None)
                except Exception as error:
                    done.put(error)

    for _ in range(min(_AT_ONCE, len(jars))):
        Thread(target=worker, daemon=True).start()
    try:
        for _ in jars:
            if error := done.get():
                raise error
    finally:
        with suppress(Empty):
            while True:
                todo.get_nowait()


def _take(jar: Jar, fetched: Path, folder: Path) -> None:
    digest = hashlib.sha256(fetched.read_bytes()).hexdigest()
    if digest != jar.sha256:
        raise CorruptError(
            f"{jar.path.name} from the Maven repository has SHA-256 {digest}, the committed list says {jar.sha256}: "
            "it was not taken. Try again; if it stays so, something between here and the repository changes files"
        )
    target = folder / jar.path
    target.parent.mkdir(parents=True, exist_ok=True)
    fetched.replace(target)


def _by_jgo(jar: Jar, aside: Path, took: _Took) -> Path:
    from jgo.maven import MavenContext, PythonResolver

    @contextmanager
    def progress(_name: str, _size: int) -> Iterator[_Took]:
        yield took

    logging.getLogger("jgo").setLevel(logging.ERROR)
    context = MavenContext(repo_cache=aside, resolver=PythonResolver(progress_callback=progress), timeout=30)
    group, artifact, version = jar.coordinate
    return Path(context.project(group, artifact).at_version(version).artifact(packaging="jar").resolve())


@contextmanager
def _machines_certificates() -> Iterator[None]:
    # What the HTTP client brings along does not know the certificates of a company's proxy; the machine's store does.
    known = ssl.get_default_verify_paths()
    store = known.cafile or (known.capath if known.capath and any(Path(known.capath).iterdir()) else None)
    if store is None or {"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"} & set(os.environ):
        yield
        return
    os.environ["REQUESTS_CA_BUNDLE"] = store
    try:
        yield
    finally:
        del os.environ["REQUESTS_CA_BUNDLE"]


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise UnavailableError(
            f"{error.name} is missing, which fetches Kafka: `pip install 'penstock[local]'`, "
            "or set PENSTOCK_KAFKA to a Kafka that already runs"
        ) from None
    except (OSError, RuntimeError) as error:
        # Errors of the HTTP client are OSErrors too; jgo raises RuntimeError for what no repository has.
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = shutil.disk_usage(folder).free
            raise UnavailableError(
                f"the disk of {folder} is full ({free / 1e6:.0f} MB free, 60 MB needed): free some space, "
                "or set XDG_CACHE_HOME to a folder with room"
            ) from None
        what = f"{type(error).__name__}: {str(error)[:300]}"
        raise UnavailableError(
            f"Kafka could not be fetched from the Maven repository ({what}); check the network "
            "(HTTPS_PROXY is honoured) and try again: what has arrived is kept. Or set PENSTOCK_KAFKA to a "
            "Kafka that already runs"
        ) from None
