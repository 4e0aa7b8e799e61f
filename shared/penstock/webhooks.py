"""Standard Webhooks, both ways: sign what we send, verify what we receive. v1, HMAC-SHA256.

v1a (ed25519) needs a signature algorithm that Python's standard library does not have, so it is not offered.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime

from penstock.errors import InvalidError, Problem, UnauthorizedError

PREFIX = "whsec_"
TOLERANCE = 300.0
"""Seconds that a message's timestamp may be away from the receiver's clock."""

_SHORTEST, _LONGEST = 24, 64


def key_of(secret: str) -> bytes:
    """Return the key of a secret: `whsec_` and the base64 of 24 to 64 bytes.

    Raises:
        InvalidError: another form; the text never repeats the secret.
    """
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(PREFIX) or not _SHORTEST <= len(key) <= _LONGEST:
        raise InvalidError("webhook secret", [Problem("secret", "is not whsec_ and the base64 of 24 to 64 bytes")])
    return key


def sign(secrets: Sequence[str], message: str, now: datetime, body: bytes) -> dict[str, str]:
    """Return the three headers of a message; several secrets (during a rotation) give several signatures.

    Args:
        secrets: newest first, at least one.
        message: id of the message, the same on every attempt.
        now: the time of this attempt.
        body: the exact bytes that are sent.
    """
    timestamp = str(int(now.timestamp()))
    return {
        "webhook-id": message,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(_signature(secret, message, timestamp, body) for secret in secrets),
    }


def verify(secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: datetime) -> str:
    """Return the id of a message that was signed with one of these secrets.

    Args:
        headers: their names in any case, as HTTP has it.
        now: the receiver's time.

    Raises:
        UnauthorizedError: a header is missing, the timestamp is too far away, or no signature fits.
    """
    try:
        found = {name.lower(): value for name, value in headers.items()}
        message, timestamp, given = (found[f"webhook-{part}"] for part in ("id", "timestamp", "signature"))
        sent = int(timestamp)
    except (KeyError, ValueError):
        raise UnauthorizedError("webhook-id, webhook-timestamp or webhook-signature is missing or unreadable") from None
    if abs(now.timestamp() - sent) > TOLERANCE:
        raise UnauthorizedError(f"webhook-timestamp is more than {TOLERANCE:g} s away from this machine's clock")
    fitting = [_signature(secret, message, timestamp, body).encode() for secret in secrets]
    offered = [one.encode() for one in given.split(" ")]
    if not any(hmac.compare_digest(one, other) for one in offered for other in fitting):
        raise UnauthorizedError("no signature in webhook-signature fits the message and a known secret")
    return message


def _signature(secret: str, message: str, timestamp: str, body: bytes) -> str:
    content = b"%s.%s.%s" % (message.encode(), timestamp.encode(), body)
    return "v1," + base64.b64encode(hmac.digest(key_of(secret), content, hashlib.sha256)).decode()
