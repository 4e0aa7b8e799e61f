"""When two decisions count as the same: ids and words exactly, statistics within 1e-9 whatever the processor."""

import base64
import binascii
import math
import struct
from collections.abc import Iterator
from typing import Any

import cramjam
import msgspec

TOLERANCE = 1e-9
"""Relative, and absolute near zero: exp and log differ in the last bits between processors."""

_ARRAY = "f8"
"""Key under which the judge's state keeps an array."""

_OF_THE_COPY = frozenset({"code"})
"""Fields that name the version that decided; they are no part of a decision."""

_PREDICTED = frozenset({"windows_needed", "samples_needed"})
"""Fields that predict a decision; they are no part of it."""

_ADDED = frozenset({"fails", "passes", "outlook", "decides_in", "decides_at", "predictions"})
"""Fields that explain a decision, and that older records do not have."""


def differences_of(recorded: Any, again: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield (path, recorded, again) where two JSON values are not the same decision."""
    if isinstance(recorded, dict) and isinstance(again, dict):
        for name in sorted({*recorded, *again} - _OF_THE_COPY - _PREDICTED - (_ADDED - recorded.keys())):
            one, other = recorded.get(name), again.get(name)
            if name == _ARRAY:
                one, other = _floats(one), _floats(other)
            yield from differences_of(one, other, f"{path}.{name}" if path else str(name))
    elif isinstance(recorded, list | tuple) and isinstance(again, list | tuple) and len(recorded) == len(again):
        for place, (one, other) in enumerate(zip(recorded, again, strict=True)):
            yield from differences_of(one, other, f"{path}.{place}")
    elif not _same(recorded, again):
        unpacked = _unpacked(recorded), _unpacked(again)
        if None in unpacked:
            yield path, recorded, again
        else:
            yield from differences_of(*unpacked, path)


def _floats(value: Any) -> Any:
    """Return the numbers of an array's bytes (base64 of little-endian float64), anything else as it is."""
    try:
        raw = base64.b64decode(value, validate=True)
        return list(struct.unpack(f"<{len(raw) // 8}d", raw))
    except (TypeError, ValueError, struct.error):
        return value


def _same(recorded: Any, again: Any) -> bool:
    if isinstance(recorded, bool) or isinstance(again, bool):
        return recorded is again
    if isinstance(recorded, int | float) and isinstance(again, int | float):
        both_undefined = math.isnan(recorded) and math.isnan(again)
        return both_undefined or math.isclose(recorded, again, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(recorded == again)


def _unpacked(value: Any) -> Any:
    """Return the JSON values of a packed number store (base64 of zstd), None for any other value."""
    if not isinstance(value, str) or len(value) < 16:
        return None
    try:
        return msgspec.json.decode(bytes(cramjam.zstd.decompress(base64.b64decode(value, validate=True))))
    except (binascii.Error, cramjam.DecompressionError, msgspec.DecodeError):
        return None
