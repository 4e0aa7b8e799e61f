"""Dead letters: input that could not be processed, kept whole with its origin and the reason, to read and redrive."""

import asyncio
import logging
from time import monotonic

from aiokafka import ConsumerRecord, TopicPartition

from penstock.errors import AppendError, OversizeError, UnavailableError
from penstock.settings import Settings
from penstock.topics import BY_NAME
from services.runtime.kafka.appender import Appender
from services.runtime.kafka.connection import named, read_span

_PLACE = frozenset({"topic", "partition", "offset", "key"})
"""What Penstock itself says under `origin-`: a header of the record that has such a name is kept under another."""

_AFTER_ERROR_S = 0.5
_PATIENCE_S = 30.0
_MOST_REASON = 4000
_MOST_CUT = 1024 * 1024
_CUT = ("cut", b"true")
_CUT_WORDS = b"the whole record is at its origin"
"""How letters of former versions report it, in their reason."""

log = logging.getLogger(__name__)


def origin_headers(topic: str, partition: int, offset: int, service: str, reason: str) -> list[tuple[str, bytes]]:
    """Return what every dead letter says: where its record is, which service refused it, and why."""
    return [
        ("origin-topic", topic.encode()),
        ("origin-partition", str(partition).encode()),
        ("origin-offset", str(offset).encode()),
        ("service", service.encode()),
        ("reason", reason[:_MOST_REASON].encode(errors="replace")),
    ]


def mark_headers(place: tuple[str, int, int], service: str, who: str, reason: str, to: str) -> list[tuple[str, bytes]]:
    """Return the headers of the mark that a letter was redriven: who did, why, and where its input is now."""
    redriven = [("redriven-by", who), ("redriven-reason", reason), ("redriven-to", to)]
    headers = origin_headers(*place, service, f"redriven by {who}: {reason}")
    return [*headers, *((name, text.encode(errors="replace")) for name, text in redriven)]


def is_cut(letter: ConsumerRecord) -> bool:
    """Whether a letter holds only a part of its record."""
    return _CUT in letter.headers or any(n == "reason" and _CUT_WORDS in (t or b"") for n, t in letter.headers)


def original(letter: ConsumerRecord) -> tuple[bytes | None, bytes, list[tuple[str, bytes]]]:
    """Return key, value and headers of the record that a whole letter holds."""
    key: bytes | None = None
    headers: list[tuple[str, bytes]] = []
    for name, text in letter.headers:
        own = name.removeprefix("origin-")
        if name == "origin-key":
            key = text
        elif name != own and own not in _PLACE:
            bare = own.removeprefix("header-")
            headers.append((bare if bare in _PLACE else own, text or b""))
    return key, letter.value or b"", headers


def foreign(record: ConsumerRecord) -> str:
    """Return why a record in a log does not count."""
    place = f"{record.topic}-{record.partition} has a record at offset {record.offset} that no Penstock wrote"
    return f"{place}: it has no envelope and chains to nothing, so it is passed"


def record_at(topic: str, partition: int, offset: int, value: bytes) -> ConsumerRecord:
    """Return a record as its dead letter needs it, for those who have only its place and its bytes."""
    return ConsumerRecord(topic, partition, offset, 0, 0, None, value, None, 0, len(value), ())


async def dead_letter(
    appender: Appender, service: str, record: ConsumerRecord, reason: str, patience: float | None = _PATIENCE_S
) -> None:
    """Keep one record; returns once it is acknowledged.

    Of one that is too large with its origin and reason, the beginning is kept, and the reason says so.

    Args:
        patience: seconds to try; None: as long as it takes, for callers from whose log the record is read again.

    Raises:
        UnavailableError: Kafka did not take it in that time. The caller must stop in front of the record: what is
            consumed without its dead letter is lost.
    """
    topic = record.topic.removeprefix(appender.prefix)
    origin = f"{topic}-{record.partition}-{record.offset}"
    value, theirs = record.value or b"", _their_headers(record)
    kept, most, told, began = value, _MOST_CUT, reason, monotonic()
    reported = began
    while True:
        headers = [*origin_headers(topic, record.partition, record.offset, service, told), *theirs]
        try:
            await appender.append_and_wait("dead-letters", None, origin.encode(), kept, headers)
        except OversizeError:
            kept, theirs, most = value[:most], [_CUT], most // 8
            whole = f"{len(value)} bytes: the first {len(kept)} are kept here, the whole record is at its origin"
            told = f"{reason[: _MOST_REASON - 200]} ({whole})"
        except AppendError as error:
            if patience is not None and monotonic() - began > patience:
                raise UnavailableError(
                    f"the dead letter of {origin} cannot be kept ({error}): {service} stops in front of that record"
                ) from error
            if monotonic() - reported > _PATIENCE_S:
                reported = monotonic()
                log.error("dead letter %s waits: %s", origin, error)
            await asyncio.sleep(_AFTER_ERROR_S)
        else:
            log.warning("dead letter %s: %s", origin, reason.splitlines()[0] if reason else "")
            return


class OnceBuried:
    """Dead letters of a reader that begins again at each start: each record is kept once, also over restarts."""

    def __init__(self, settings: Settings, appender: Appender, service: str) -> None:
        self._settings = settings
        self._appender = appender
        self._service = service
        self._known: set[bytes] | None = None
        self._turn = asyncio.Lock()

    async def keep(self, record: ConsumerRecord, reason: str) -> None:
        """Keep a record unless this service has done so before; returns once it is acknowledged.

        Raises:
            UnavailableError: as `dead_letter`.
        """
        key = f"{record.topic.removeprefix(self._appender.prefix)}-{record.partition}-{record.offset}".encode()
        async with self._turn:
            if self._known is None:
                self._known = await self._kept_before()
            if key not in self._known:
                await dead_letter(self._appender, self._service, record, reason)
                self._known.add(key)

    async def _kept_before(self) -> set[bytes]:
        known: set[bytes] = set()
        ours = ("service", self._service.encode())

        def note(letter: ConsumerRecord) -> None:
            if letter.key is not None and ours in letter.headers:
                known.add(letter.key.removeprefix(self._appender.prefix.encode()))

        topic = BY_NAME["dead-letters"]
        places = [TopicPartition(named(self._settings, topic.name), number) for number in range(topic.partitions)]
        await read_span(self._settings, dict.fromkeys(places, 0), note)
        return known


def _their_headers(record: ConsumerRecord) -> list[tuple[str, bytes]]:
    """Return the record's own key and headers, so that it can be published again as it was."""
    key = [("origin-key", record.key)] if record.key is not None else []
    return [
        *key,
        *((f"origin-{'header-' if name in _PLACE else ''}{name}", text or b"") for name, text in record.headers),
    ]
