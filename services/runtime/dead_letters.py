"""Where input goes that cannot be understood: kept whole, with origin and reason, for people to see and redrive."""

import asyncio
import logging

from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaError

from penstock.errors import AppendError

from .appender import Appender

_AFTER_ERROR_S = 0.5
_MOST_REASON = 4000

log = logging.getLogger(__name__)


async def dead_letter(appender: Appender, service: str, record: ConsumerRecord, reason: str) -> None:
    """Keep one record; returns once it is acknowledged, however long Kafka takes: dropping it is no choice."""
    origin = f"{record.topic}-{record.partition}-{record.offset}"
    headers = [
        ("origin-topic", record.topic.encode()),
        ("origin-partition", str(record.partition).encode()),
        ("origin-offset", str(record.offset).encode()),
        ("service", service.encode()),
        ("reason", reason[:_MOST_REASON].encode()),
        *((f"origin-{name}", value or b"") for name, value in record.headers),
    ]
    while True:
        try:
            future = await appender.append("dead-letters", None, origin.encode(), record.value or b"", headers)
            await future
        except (AppendError, KafkaError) as error:
            log.warning("dead letter %s waits: %s", origin, type(error).__name__)
            await asyncio.sleep(_AFTER_ERROR_S)
        else:
            log.warning("dead letter %s: %s", origin, reason.splitlines()[0] if reason else "")
            return
