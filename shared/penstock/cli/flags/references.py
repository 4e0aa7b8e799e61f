"""Where code names a flag: by whole words in text files, so that an archived flag's last reference can be found."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from stat import S_ISREG
from typing import NamedTuple

_LARGEST_BYTES = 2 * 1024 * 1024
_PASSED_OVER = frozenset({"node_modules", "__pycache__", "dist", "build", "target", "vendor"})


class Reference(NamedTuple):
    """One line that names a flag."""

    key: str
    path: Path
    line: int
    text: str


def references(folder: Path, keys: Sequence[str]) -> Iterator[Reference]:
    """Yield every line below `folder` that names one of the keys; hidden folders and large files are passed over."""
    if not keys:
        return
    longest_first = sorted(keys, key=len, reverse=True)
    pattern = re.compile(r"(?<![\w.-])(" + "|".join(map(re.escape, longest_first)) + r")(?![\w-])")
    for path in _files(folder):
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        if not any(key in text for key in keys):
            continue
        # Not `splitlines`: editors do not count its form feeds and separators.
        for number, line in enumerate(text.split("\n"), start=1):
            for key in dict.fromkeys(pattern.findall(line)):
                yield Reference(key, path, number, line.strip())


def _files(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _PASSED_OVER)
        for name in sorted(names):
            path = Path(place) / name
            try:
                found = path.stat()
            except OSError:
                continue  # gone by now, a link in a circle, or nobody's to read
            if S_ISREG(found.st_mode) and found.st_size <= _LARGEST_BYTES:
                yield path
