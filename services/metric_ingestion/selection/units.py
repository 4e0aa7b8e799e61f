"""Units as instruments state them: which are the same thing in another size, and by how much."""

import re
from functools import lru_cache

_SIZES = {
    "time": {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "min": 60.0, "h": 3600.0, "d": 86400.0},
    "size": {
        "By": 1.0, "bit": 0.125, "kBy": 1e3, "MBy": 1e6, "GBy": 1e9, "TBy": 1e12,
        "KiBy": 2.0**10, "MiBy": 2.0**20, "GiBy": 2.0**30, "TiBy": 2.0**40,
    },
    "share": {"1": 1.0, "%": 0.01},
}  # fmt: skip

_ALIASES = {
    "sec": "s", "secs": "s", "second": "s", "seconds": "s",
    "msec": "ms", "millis": "ms", "millisecond": "ms", "milliseconds": "ms",
    "µs": "us", "μs": "us", "micros": "us", "microsecond": "us", "microseconds": "us",
    "nanos": "ns", "nanosecond": "ns", "nanoseconds": "ns",
    "minute": "min", "minutes": "min", "hour": "h", "hours": "h", "day": "d", "days": "d",
    "b": "By", "byte": "By", "bytes": "By", "kb": "kBy", "kilobytes": "kBy", "mb": "MBy", "megabytes": "MBy",
    "gb": "GBy", "gigabytes": "GBy", "kib": "KiBy", "mib": "MiBy", "gib": "GiBy",
    "percent": "%", "ratio": "1",
}  # fmt: skip

_OF = {unit: (dimension, size) for dimension, sizes in _SIZES.items() for unit, size in sizes.items()}
_IN_NAME = re.compile(r".*[._](seconds|milliseconds|microseconds|nanoseconds|bytes|ms)(?:[._](?:total|sum|count|max))?")


@lru_cache(maxsize=1024)
def normal(unit: str, metric: str = "") -> str:
    """Return the common spelling of a unit; one that is not stated is read from the metric's name, or stays empty.

    An annotation such as `{request}` counts things, and is `1`.
    """
    unit = re.sub(r"\{[^}]*\}", "", unit) or "1" if unit.startswith("{") else unit.strip()
    if not unit and (named := _IN_NAME.fullmatch(metric)):
        unit = named[1]
    return unit if unit in _OF else _ALIASES.get(unit, _ALIASES.get(unit.lower(), unit))


def factor(unit: str, wanted: str) -> float | None:
    """Return by what a value must be multiplied to be in the wanted unit, None where the two do not compare.

    Both are in their common spelling; two unknown units compare only if they are the same text.
    """
    if unit == wanted and unit:
        return 1.0
    if unit == "1" and wanted not in _OF:
        # `{connection}` and a plan that writes `connections`: both count things.
        return 1.0
    have, want = _OF.get(unit), _OF.get(wanted)
    if have is None or want is None or have[0] != want[0]:
        return None
    return have[1] / want[1]
