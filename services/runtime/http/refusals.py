"""Answers that the guard gives by itself, before an application sees the request: status, reason, next step."""

import http
from dataclasses import dataclass

import msgspec


@dataclass(frozen=True)
class Refusal:
    """One answer; the connection is closed after it.

    Attributes:
        retry_after: seconds, 0 where the same request will never be accepted.
    """

    status: int
    error: str
    next: str
    retry_after: int = 0

    def encode(self) -> bytes:
        """Return the whole HTTP/1.1 answer."""
        body = msgspec.json.encode({"error": self.error, "next": self.next})
        lines = [
            f"HTTP/1.1 {self.status} {http.HTTPStatus(self.status).phrase}",
            "content-type: application/json",
            f"content-length: {len(body)}",
            *([f"retry-after: {self.retry_after}"] if self.retry_after else []),
            "connection: close",
        ]
        return "\r\n".join([*lines, "", ""]).encode() + body


MALFORMED = Refusal(400, "this is not an HTTP/1.1 request", "Send HTTP/1.1; TLS and HTTP/2 are not spoken here.")
NO_HOST = Refusal(400, "an HTTP/1.1 request needs exactly one Host header", "Send one.")
CUT_SHORT = Refusal(400, "the connection was closed before the request was whole", "Send all of it, then close.")
PIPELINED = Refusal(429, "too many requests wait on this connection", "Read the answers before you send more.", 1)


def late(seconds: float) -> Refusal:
    """Return the answer to a request that did not arrive in time."""
    return Refusal(408, f"the request did not arrive within {seconds:g} seconds", "Send it faster, or in parts.")


def long_target(most: int) -> Refusal:
    """Return the answer to a request target that is too long."""
    return Refusal(414, f"the request target is longer than {most} bytes", "Send a shorter path and query.")


def large_headers(most_bytes: int, most: int) -> Refusal:
    """Return the answer to too many header fields, or too many bytes of them."""
    return Refusal(431, f"the headers exceed {most} fields or {most_bytes} bytes", "Send fewer and shorter headers.")


def large_body(most: int) -> Refusal:
    """Return the answer to a body that is too large."""
    return Refusal(413, f"the body is larger than {most} bytes", "Send less at once.")


def full(most: int) -> Refusal:
    """Return the answer of a server that has no connection left."""
    return Refusal(503, f"all {most} connections are in use", "Try again in a few seconds.", 5)


def full_for_address(most: int) -> Refusal:
    """Return the answer to an address that holds too many connections."""
    return Refusal(429, f"your address holds {most} connections already", "Close some, or reuse them.", 5)
