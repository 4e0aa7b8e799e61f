"""Deploys from CI through Kafka, with any key; a record is committed once its deploy or dead letter is acknowledged."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.message import KafkaMessage

import penstock
from penstock.chain.failures import fault_of
from penstock.errors import InvalidError, TransientError
from penstock.events import DeployAnnounced
from penstock.events.cloudevents import parse_kafka
from penstock.settings import Settings
from services.console.commands import Publish
from services.console.intake.cdevents import deploy_of, plan_text_of, read_plan
from services.console.read_models.projection import Projection
from services.runtime.kafka import messages
from services.runtime.kafka.connection import make_broker, named

GROUP = "penstock-console-intake"
TOPIC = "deploy-intake"
_AFTER_ERROR_S = 0.5

log = logging.getLogger(__name__)

Bury = Callable[[ConsumerRecord, str], Awaitable[None]]
"""Dead-letters a record with a reason; returns once it is acknowledged."""


class IntakeTopic:
    """Follows `deploy-intake` as a consumer group."""

    def __init__(self, settings: Settings, projection: Projection, publish: Publish, bury: Bury) -> None:
        self._settings = settings
        self._projection = projection
        self._publish = publish
        self._bury = bury
        self._broker: KafkaBroker | None = None
        self._subscriber: Any = None
        self.failure: BaseException | None = None

    async def start(self) -> None:
        """Begin to read; the projection must know the registered plans by then."""
        self._broker = make_broker(self._settings)
        self._subscriber = self._broker.subscriber(
            named(self._settings, TOPIC),
            group_id=f"{self._settings.topic_prefix}{GROUP}",
            auto_offset_reset="earliest",
            ack_policy=AckPolicy.MANUAL,
            no_reply=True,
            parser=messages.parse,
            decoder=messages.decode,
        )
        self._subscriber(self._handle)
        await self._broker.start()

    def alive(self) -> bool:
        """Whether every record so far became a deploy or a dead letter."""
        return self.failure is None

    async def stop(self) -> None:
        """Stop reading; the next consumer receives again what is not committed."""
        if self._broker is not None:
            await self._broker.stop()

    async def announce(self, record: ConsumerRecord) -> None:
        """Publish the deploy of a record, or dead-letter the record; returns when either is acknowledged."""
        try:
            received = parse_kafka(record.value or b"", record.headers)
            if (text := plan_text_of(received.data)) is not None:
                await asyncio.to_thread(read_plan, text)
            deploy = deploy_of(received, self._projection, None)
            await self._publish_until_accepted(deploy)
        except InvalidError as error:
            await self._bury(record, str(error))
        except Exception as error:
            log.exception("%s-%d at offset %d", record.topic, record.partition, record.offset)
            await self._bury(record, fault_of(error, penstock.__version__))

    async def _publish_until_accepted(self, deploy: DeployAnnounced) -> None:
        while True:
            try:
                await self._publish("deploys", deploy)
            except (TransientError, KafkaError) as error:
                log.warning("deploy %s is not accepted yet: %s", deploy.id, type(error).__name__)
                await asyncio.sleep(_AFTER_ERROR_S)
            else:
                return

    async def _handle(self, message: KafkaMessage) -> None:
        record = message.raw_message
        assert isinstance(record, ConsumerRecord)
        if self.failure is not None:
            return
        try:
            await self.announce(record)
        except BaseException as error:
            # FastStream would go on with the next record, and committing that one would lose this one.
            self.failure = error
            raise
        # A kill between the two repeats the deploy, which (source, id) makes harmless; the other order would lose it.
        try:
            await self._subscriber.consumer.commit({TopicPartition(record.topic, record.partition): record.offset + 1})
        except KafkaError as error:
            log.warning("commit of %s failed: %s; it will be read again", record.offset, type(error).__name__)
