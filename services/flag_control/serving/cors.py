"""Which web pages may evaluate flags: browsers ask first, and only the origins that were named get an answer."""

from collections.abc import Collection

from services.flag_control.serving.http_responses import Header

_ALLOWED = (
    (b"access-control-allow-methods", b"POST, GET"),
    (b"access-control-allow-headers", b"authorization, content-type, flagd-selector, if-none-match, x-api-key"),
    (b"access-control-max-age", b"3600"),
)


class Origins:
    """The origins of pages; `*` for every page (flags then are public)."""

    def __init__(self, origins: Collection[str]) -> None:
        self._every = "*" in origins
        self._origins = frozenset(origin.encode() for origin in origins)

    def headers(self, origin: bytes | None) -> tuple[Header, ...]:
        """Return what lets a page of this origin read the answer; nothing for others, and for other clients."""
        if origin is None or not (self._every or origin in self._origins):
            return ()
        return (
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", b"etag, retry-after"),
            (b"vary", b"origin"),
        )

    def preflight(self, origin: bytes | None) -> tuple[Header, ...]:
        """Return the answer to a browser that asks before it sends."""
        allowed = self.headers(origin)
        return (*allowed, *_ALLOWED) if allowed else ()


def parse_origins(text: str) -> Origins | None:
    """Return the origins of a comma-separated list, None for an empty one."""
    found = [origin.strip().rstrip("/") for origin in text.split(",") if origin.strip()]
    return Origins(found) if found else None
