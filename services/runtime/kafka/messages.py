"""FastStream's parser and decoder hooks that leave records alone: the stock ones fail on headers that are no UTF-8, and
lose the record, or its whole batch, before any handler sees it."""

from datetime import UTC, datetime

from aiokafka import ConsumerRecord
from faststream.kafka.message import FAKE_CONSUMER, KafkaMessage

from penstock.events import Event


async def parse(raw: ConsumerRecord | tuple[ConsumerRecord, ...]) -> KafkaMessage:
    """Return the record, or the batch, as it came."""
    return KafkaMessage(raw_message=raw, body=b"", headers={}, consumer=FAKE_CONSUMER)


async def decode(message: KafkaMessage) -> KafkaMessage:
    """Return the message as it is: who handles it decodes it."""
    return message


def received(event: Event, record: ConsumerRecord) -> Event:
    """Return the event as received when the broker appended its record: what others stamp it with is data."""
    if record.timestamp <= 0:
        return event
    try:
        return event.received_at(datetime.fromtimestamp(record.timestamp / 1000, UTC))
    except (ValueError, OverflowError, OSError):
        return event  # A topic that keeps the sender's timestamps may hold any number.
