"""Arrays of float64, and their form in JSON: base64 of little-endian bytes, so that a restart continues bit for bit."""

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def pack(array: Floats) -> dict[str, Any]:
    """Return shape and bytes of an array."""
    flat = np.ascontiguousarray(array, dtype="<f8")
    return {"shape": list(flat.shape), "f8": base64.b64encode(flat.tobytes()).decode()}


def unpack(doc: dict[str, Any]) -> Floats:
    """Return the array that `pack` wrote."""
    flat = np.frombuffer(base64.b64decode(doc["f8"]), dtype="<f8")
    return flat.reshape(doc["shape"]).astype(np.float64)
