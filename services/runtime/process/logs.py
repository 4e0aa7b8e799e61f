"""How services log: one line a message, whatever somebody put into it, and no secret."""

import logging
import re
from collections.abc import Iterable

from penstock.errors import InvalidError
from penstock.settings import Settings
from penstock.subscribers import load_subscribers

HIDDEN = "***"
_URL = re.compile(r"\b([a-z][a-z0-9+.-]*://)(?:[^\s/?#@\"'<>]*@)?([^\s/?#\"'<>]*)([/?#][^\s\"'<>]*)?", re.IGNORECASE)
_CREDENTIAL = re.compile(
    r"(?:(?<=bearer )|(?<=bearer%20)|(?<=basic )|(?<=peer ))[^\s\"',]+"
    r"|whsec_[A-Za-z0-9+/=]+|(?-i:penstock_)[A-Za-z0-9_-]{16,}|eyJ[\w-]+\.[\w-]+\.[\w-]*",
    re.IGNORECASE,
)
_SHORTEST = 8
_QUIET = ("httpx", "httpcore", "hpack", "asyncio", "uvicorn.access")
"""Libraries that log whole addresses and headers below WARNING."""


class OneLine(logging.Formatter):
    """Formats a record on one line; a traceback follows, each of its lines indented.

    Args:
        secrets: values that must not be written, wherever they come from.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        known = sorted({secret for secret in secrets if len(secret) >= _SHORTEST}, key=len, reverse=True)
        self._secrets = re.compile("|".join(map(re.escape, known))) if known else None

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; what an attacker chose can neither begin another one nor steer a terminal."""
        traceback = self.formatException(record.exc_info) if record.exc_info else (record.exc_text or "")
        bare = logging.makeLogRecord({**record.__dict__, "exc_info": None, "exc_text": None, "stack_info": None})
        lines = [escaped(self._redacted(super().format(bare)))]
        lines += [f"    {escaped(self._redacted(line))}" for line in traceback.splitlines()]
        return "\n".join(lines)

    def _redacted(self, text: str) -> str:
        if self._secrets is not None:
            text = self._secrets.sub(HIDDEN, text)
        return _CREDENTIAL.sub(HIDDEN, _URL.sub(_shown, text))


def escaped(text: str) -> str:
    """Return the text with control, format and line separator characters as `\\x1b` or `\\u2028`."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def secrets_of(settings: Settings) -> list[str]:
    """Return the secrets that the settings lead to, so that no line holds one, no matter which library writes it."""
    found = [settings.token or ""]
    if settings.redis is not None and "@" in settings.redis:
        found += settings.redis.partition("//")[2].rpartition("@")[0].split(":")
    for path in (settings.kafka_password_file, settings.session_key_file):
        try:
            found += [path.read_text().strip()] if path is not None else []
        except (OSError, UnicodeDecodeError):
            continue
    try:
        subscribers = load_subscribers(settings.subscribers)
    except InvalidError:
        return found
    for subscriber in subscribers.all():
        found += [subscriber.url or "", *subscriber.secrets]
    return found


def configure(settings: Settings) -> None:
    """Log to stderr as this module does, at the level of the settings."""
    handler = logging.StreamHandler()
    handler.setFormatter(OneLine(secrets_of(settings)))
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("aiokafka").setLevel(logging.ERROR)


def _shown(match: re.Match[str]) -> str:
    """Return an address without user, password, path and query: any of them may be the secret."""
    scheme, host, rest = match.groups()
    return f"{scheme}{host}/{HIDDEN}" if rest and rest != "/" else f"{scheme}{host}{rest or ''}"
