"""FastStream's parser and decoder hooks that leave records alone: the stock ones fail on headers that are no UTF-8, and
lose the record, or its whole batch, before any handler sees it."""

from aiokafka import ConsumerRecord
from faststream.kafka.message import FAKE_CONSUMER, KafkaMessage


async def parse(raw: ConsumerRecord | tuple[ConsumerRecord, ...]) -> KafkaMessage:
    """Return the record, or the batch, as it came."""
    return KafkaMessage(raw_message=raw, body=b"", headers={}, consumer=FAKE_CONSUMER)


async def decode(message: KafkaMessage) -> KafkaMessage:
    """Return the message as it is: who handles it decodes it."""
    return message
