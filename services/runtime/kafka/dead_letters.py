"""Where input goes that cannot be understood: kept whole, with origin and reason, for people to see and redrive."""

import asyncio
import logging

from aiokafka import ConsumerRecord

from penstock.errors import AppendError, OversizeError
from services.runtime.kafka.appender import Appender

_AFTER_ERROR_S = 0.5
_MOST_REASON = 4000
_MOST_CUT = 1024 * 1024

log = logging.getLogger(__name__)


def origin_headers(topic: str, partition: int, offset: int, service: str, reason: str) -> list[tuple[str, bytes]]:
    """Return what every dead letter says of where its record stood, who could not take it, and why."""
    return [
        ("origin-topic", topic.encode()),
        ("origin-partition", str(partition).encode()),
        ("origin-offset", str(offset).encode()),
        ("service", service.encode()),
        ("reason", reason[:_MOST_REASON].encode()),
    ]


def foreign(record: ConsumerRecord) -> str:
    """Return why a record in a log does not count."""
    place = f"{record.topic}-{record.partition} has a record at offset {record.offset} that no Penstock wrote"
    return f"{place}: it has no envelope and chains to nothing, so it is passed"


async def dead_letter(appender: Appender, service: str, record: ConsumerRecord, reason: str) -> None:
    """Keep one record; returns once it is acknowledged, however long Kafka takes: dropping it is no choice.

    Of one that is too large with its origin and reason, the beginning is kept, and the reason says so.
    """
    origin = f"{record.topic}-{record.partition}-{record.offset}"
    value, theirs = record.value or b"", [(f"origin-{name}", text or b"") for name, text in record.headers]
    kept, most, told = value, _MOST_CUT, reason
    while True:
        headers = [*origin_headers(record.topic, record.partition, record.offset, service, told), *theirs]
        try:
            await appender.append_and_wait("dead-letters", None, origin.encode(), kept, headers)
        except OversizeError:
            kept, theirs, most = value[:most], [], most // 8
            whole = f"{len(value)} bytes: the first {len(kept)} are kept here, the whole stands at its origin"
            told = f"{reason[: _MOST_REASON - 200]} ({whole})"
        except AppendError as error:
            log.warning("dead letter %s waits: %s", origin, type(error).__name__)
            await asyncio.sleep(_AFTER_ERROR_S)
        else:
            log.warning("dead letter %s: %s", origin, reason.splitlines()[0] if reason else "")
            return
