"""State is one JSON document per target. A record holds its change as a merge patch that readers apply."""

import hashlib
from collections.abc import Mapping
from math import isfinite
from typing import Any

import msgspec

from penstock.errors import InvalidError, Problem

Document = dict[str, Any]
"""JSON object without nulls: a missing key is the only form of no value (a null in a patch removes the key)."""

_canonical = msgspec.json.Encoder(order="sorted")


def canonical(document: Any) -> bytes:
    """Return JSON with sorted keys, no spaces and shortest floats: the same bytes for the same values."""
    return _canonical.encode(document)


def digest_of(document: Any) -> str:
    """Return the SHA-256 of the canonical bytes, in hex."""
    return hashlib.sha256(canonical(document)).hexdigest()


def diff(before: Mapping[str, Any], after: Mapping[str, Any]) -> Document:
    """Return the merge patch (RFC 7396) that turns `before` into `after`; lists are replaced whole.

    Raises:
        InvalidError: `after` holds a null where it would be read as a removal, or NaN or an infinity: JSON writes both
            as null.
    """
    patch: Document = {key: None for key in before if key not in after}
    for key, value in after.items():
        if value is None or (isinstance(value, float) and not isfinite(value)):
            raise InvalidError(
                "state document", [Problem(str(key), f"{value} means a removal in a patch; leave it out")]
            )
        old = before.get(key)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            inner = diff(old, value)
            if inner:
                patch[key] = inner
        elif key not in before or not _same(old, value):
            patch[key] = diff({}, value) if isinstance(value, Mapping) else value
    return patch


def _same(old: Any, new: Any) -> bool:
    """Whether both are the same JSON: to Python 1 == 1.0 == True and -0.0 == 0.0, and a tuple never equals a list."""
    if isinstance(new, str) or isinstance(old, str):
        return type(old) is type(new) and bool(old == new)
    return canonical(old) == canonical(new)


def merge(document: Mapping[str, Any], patch: Mapping[str, Any]) -> Document:
    """Return `document` with the merge patch applied; the argument is left as it is."""
    merged = dict(document)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping):
            old = merged.get(key)
            merged[key] = merge(old if isinstance(old, Mapping) else {}, value)
        else:
            merged[key] = value
    return merged
